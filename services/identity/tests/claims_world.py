"""A world for tests of claims: identity's RPCs on a real database, really signed mail, and a DNS that a test fills."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.caller import Caller, acting_as
from apportion_common.clock import FixedClock
from apportion_common.envelope import open_envelope
from apportion_common.errors import ApportionError
from apportion_dev.testing.databases import ServiceDatabase, fetch_all
from apportion_identity.app.tokens import TokenScope
from apportion_identity.domain.mail.types import Answer, Question
from apportion_identity.rpc.servicer import IdentityServicer
from apportion_identity.store.issuer_keys import FetchedIssuerKeys
from apportion_identity.store.sealing import SealingKeys
from apportion_identity.store.suffixes import PackagedSuffixes
from apportion_identity.wiring import Outside, make_use_cases
from google.protobuf.message import Message
from mail_maker import NOW_S, FakeDns, Signer, make_message

NAMES = UUID("3f0d6a3e-6d0b-4f43-8f5e-7f0b1a9c2d11")
NOW = datetime.fromtimestamp(NOW_S, UTC) + timedelta(minutes=1)
DOMAIN = "acme.com"
MAIL_DOMAIN = "claims.apportion.dev"
PROOF_KEY = bytes(range(32))
OPERATOR = Caller("service_account:ops", frozenset({"operator"}))
RELAY = Caller("service_account:relay", frozenset({"service"}))
SUFFIXES = PackagedSuffixes()

VERIFIED, CONFLICT, REFUSED = (
    pb.VERIFICATION_OUTCOME_VERIFIED,
    pb.VERIFICATION_OUTCOME_CONFLICT,
    pb.VERIFICATION_OUTCOME_REFUSED,
)


def org_id(name: str) -> str:
    return str(uuid5(NAMES, f"org {name}"))


def user_id(name: str) -> str:
    return str(uuid5(NAMES, f"user {name}"))


class TroubledDns(FakeDns):
    """A DNS that fails for everything while it is down."""

    down: str = ""

    async def ask(self, questions: Iterable[Question]) -> dict[Question, Answer]:
        if self.down:
            return {question: Answer(self.down) for question in questions}  # type: ignore[arg-type]
        await asyncio.sleep(0)
        return self.answer(questions)


@dataclass
class FakeOrgs:
    """Who stands below whom; a test may take it away."""

    below: set[tuple[str, str]] = field(default_factory=set)
    failure: ApportionError | None = None
    asked: int = 0

    async def is_subsidiary(self, org_id: UUID, of_org_id: UUID) -> bool:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return (str(org_id), str(of_org_id)) in self.below


class World:
    """Calls RPCs as somebody; every call has a request id of its own unless one is given. The clock stands."""

    def __init__(self, place: ServiceDatabase) -> None:
        self.place = place
        self.clock = FixedClock(NOW)
        self.database = place.database(self.clock)
        self.dns = TroubledDns()
        self.orgs = FakeOrgs()
        self.outside = Outside(
            token_scope=TokenScope("https://identity.test", "apportion"),
            sealing=SealingKeys([bytes(32)]),
            issuers=FetchedIssuerKeys((), self.clock),
            dns=self.dns,
            suffixes=SUFFIXES,
            orgs=self.orgs,
            proof_key=PROOF_KEY,
            claim_mail_domain=MAIL_DOMAIN,
        )
        self.use_cases = make_use_cases(self.database, self.outside)
        self.rpcs = IdentityServicer(self.database, self.use_cases)
        self._count = itertools.count(1)
        self.publish(DOMAIN)

    def publish(self, domain: str, algorithm: str = "ed25519-sha256") -> Signer:
        """Let the DNS have the key of a domain's mail server."""
        signer = Signer(domain, algorithm=algorithm)
        self.dns.records.update(signer.dns())
        return signer

    def member(self, org: str, role: str = "Owner", *, amr: Sequence[str] = (), name: str = "") -> Caller:
        """A member of an organisation, with the token that they get."""
        user = user_id(f"{org} {role} {name}")
        self.write(
            "INSERT INTO app_user (user_id, email) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            user,
            f"{user}@members.test",
        )
        self.write(
            "INSERT INTO membership (org_id, user_id, role, status) VALUES (%s, %s, %s, 'active')"
            " ON CONFLICT DO NOTHING",
            org_id(org),
            user,
            role,
        )
        return Caller(f"user:{user}", frozenset({role.lower()}), UUID(org_id(org)), tuple(amr))

    async def call(self, caller: Caller, method: str, request: Any) -> Any:
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
            request.request_id = f"call {next(self._count)}"
        with acting_as(caller):
            return await getattr(self.rpcs, method)(request, None)

    async def refused(self, caller: Caller, method: str, request: Any) -> ApportionError:
        with pytest.raises(ApportionError) as refusal:
            await self.call(caller, method, request)
        return refusal.value

    async def reason(self, caller: Caller, method: str, request: Any) -> tuple[str, str]:
        """Status and reason that a call is refused with."""
        error = await self.refused(caller, method, request)
        return error.code, error.reason

    async def claim(self, org: str, domain: str = DOMAIN, **more: Any) -> pb.CreateClaimResponse:
        request = pb.CreateClaimRequest(org_id=org_id(org), domain=domain, **more)
        answer: pb.CreateClaimResponse = await self.call(self.member(org), "CreateClaim", request)
        return answer

    def mail(self, mail_to: str, domain: str = DOMAIN, **parts: Any) -> bytes:
        """A message from the domain to a claim's address, signed by the domain's server."""
        values = {"author": f"Ann <ann@{domain}>", "to": mail_to, "message_id": f"<1@{domain}>", **parts}
        return Signer(domain, algorithm="ed25519-sha256").sign(make_message(**values))

    async def submit(self, message: bytes, **more: Any) -> pb.SubmitVerificationEmailResponse:
        request = pb.SubmitVerificationEmailRequest(message=message, mail_from=f"ann@{DOMAIN}", **more)
        answer: pb.SubmitVerificationEmailResponse = await self.call(RELAY, "SubmitVerificationEmail", request)
        return answer

    async def prove(self, made: pb.CreateClaimResponse) -> pb.SubmitVerificationEmailResponse:
        """Send the mail that proves a claim."""
        return await self.submit(self.mail(made.mail_to, made.claim.domain))

    async def verified(self, org: str, domain: str = DOMAIN) -> pb.DomainClaim:
        """A verified claim of an organisation."""
        if domain != DOMAIN:
            self.publish(domain)
        made = await self.claim(org, domain)
        assert (await self.prove(made)).outcome == VERIFIED
        return await self.get(made.claim)

    async def get(self, claim: pb.DomainClaim) -> pb.DomainClaim:
        """The claim as its organisation sees it now."""
        request = pb.GetClaimRequest(org_id=claim.org_id, claim_id=claim.claim_id)
        answer = await self.call(OPERATOR, "GetClaim", request)
        found: pb.DomainClaim = answer.claim
        return found

    async def wildcard(self, claim: pb.DomainClaim, org: str, *, on: bool = True) -> pb.DomainClaim:
        """Extend a claim to what lies below it, as its organisation's Owner."""
        request = pb.SetWildcardRequest(org_id=claim.org_id, claim_id=claim.claim_id, wildcard=on)
        answer = await self.call(self.member(org, amr=["pwd", "otp"]), "SetWildcard", request)
        changed: pb.DomainClaim = answer.claim
        return changed

    async def conflicts(self, **more: Any) -> list[pb.ClaimConflict]:
        answer = await self.call(OPERATOR, "ListConflicts", pb.ListConflictsRequest(**more))
        return list(answer.conflicts)

    async def resolve(self, conflict: pb.ClaimConflict, winner: pb.DomainClaim) -> pb.ClaimConflict:
        request = pb.ResolveConflictRequest(
            conflict_id=conflict.conflict_id, winner_claim_id=winner.claim_id, reason="They showed their contract."
        )
        answer = await self.call(OPERATOR, "ResolveConflict", request)
        settled: pb.ClaimConflict = answer.conflict
        return settled

    def status(self, claim: pb.DomainClaim) -> str:
        """The claim's status in the database."""
        ((status,),) = self.rows("SELECT status FROM domain_claim WHERE claim_id = %s", claim.claim_id)
        return str(status)

    def statuses(self) -> list[str]:
        return sorted(status for (status,) in self.rows("SELECT status FROM domain_claim"))

    def facts(self, *types: str) -> list[tuple[str, str, Message]]:
        """What was announced, in order: type, whose it is, and what it says; only those named when any is."""
        found = []
        for (payload,) in self.rows("SELECT payload FROM outbox ORDER BY created_at, outbox_id"):
            envelope = open_envelope(bytes(payload))
            kind = pb.ClaimConflictOpened if "conflict_o" in envelope.type else pb.ClaimChanged
            message = kind()
            assert envelope.payload.Unpack(message)
            if not types or envelope.type in types:
                found.append((envelope.type, envelope.org_id, message))
        return found

    def audited(self, *actions: str) -> list[str]:
        """The actions that were audited, in order; only those named when any is."""
        found = [action for (action,) in self.rows("SELECT action FROM audit_entry ORDER BY at, audit_id")]
        return [action for action in found if not actions or action in actions]

    def attempts(self) -> list[tuple[str, bool]]:
        """Reason and acceptance of every recorded attempt, in order."""
        return self.rows("SELECT reason, accepted FROM claim_verification ORDER BY at, verification_id")

    def rows(self, query: str, *parameters: Any) -> list[Any]:
        """What the owner of the database sees."""
        return fetch_all(self.place.owner_url, query, parameters)

    def write(self, statement: str, *parameters: Any) -> None:
        """What was there before."""
        fetch_all(self.place.owner_url, f"WITH written AS ({statement} RETURNING 1) SELECT * FROM written", parameters)

    def pass_time(self, **by: float) -> None:
        self.clock.advance(timedelta(**by))
