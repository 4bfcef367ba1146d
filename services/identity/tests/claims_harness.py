"""The RPCs about claims, really signed mail, and a DNS that a test fills."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.caller import Caller
from apportion_common.envelope import open_envelope
from apportion_dev.testing.databases import ServiceDatabase
from google.protobuf.message import Message
from identity_harness import OPERATOR, IdentityHarness, org_id, user_id
from mail_maker import NOW_S, Signer, make_message

NOW = datetime.fromtimestamp(NOW_S, UTC) + timedelta(minutes=1)
DOMAIN = "acme.com"
RELAY = Caller("service_account:relay", frozenset({"service"}))

VERIFIED, CONFLICT, REJECTED = (
    pb.VERIFICATION_OUTCOME_VERIFIED,
    pb.VERIFICATION_OUTCOME_CONFLICT,
    pb.VERIFICATION_OUTCOME_REJECTED,
)


class ClaimsHarness(IdentityHarness):
    """Makes, proves and reads claims."""

    def __init__(self, place: ServiceDatabase) -> None:
        super().__init__(place, at=NOW)
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

    def events(self, *types: str) -> list[tuple[str, str, Message]]:
        """What was published, in order: type, whose it is, and what it says; only those named when any is."""
        found = []
        for (payload,) in self.rows("SELECT payload FROM outbox ORDER BY created_at, outbox_id"):
            envelope = open_envelope(bytes(payload))
            kind = pb.ClaimConflictOpened if "conflict_o" in envelope.type else pb.ClaimChanged
            message = kind()
            assert envelope.payload.Unpack(message)
            if not types or envelope.type in types:
                found.append((envelope.type, envelope.org_id, message))
        return found

    def attempts(self) -> list[tuple[str, bool]]:
        """Reason and acceptance of every recorded attempt, in order."""
        return self.rows("SELECT reason, accepted FROM claim_verification ORDER BY at, verification_id")
