"""Nothing that a tenant can see of a conflict names the other organisation (spec 01, conflict and privacy)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.errors import ApportionError
from apportion_dev.testing.databases import ServiceDatabase
from claims_harness import CONFLICT, DOMAIN, RELAY, ClaimsHarness
from google.protobuf.message import Message
from identity_harness import org_id, user_id


@pytest.fixture
def harness(service_database: Callable[[str], ServiceDatabase]) -> ClaimsHarness:
    return ClaimsHarness(service_database("identity"))


class Seen:
    """What one organisation gets to see."""

    def __init__(self, harness: ClaimsHarness, org: str) -> None:
        self.harness, self.org = harness, org
        self.texts: list[str] = []

    async def call(self, method: str, request: Any, *, amr: tuple[str, ...] = ("mfa",)) -> Any:
        """Call as the Owner, and keep what comes back: an answer, or a rejection with all it carries."""
        try:
            answer = await self.harness.call(self.harness.member(self.org, amr=amr), method, request)
        except ApportionError as error:
            self.texts.append(str((method, error.reason, error.message, error.field, error.metadata)))
            return error
        self.texts.append(f"{method} {answer}")
        return answer

    async def look(self, claim: pb.DomainClaim) -> None:
        """Read everything that there is to read, and try everything that is rejected."""
        ids = {"org_id": org_id(self.org), "claim_id": claim.claim_id}
        await self.call("GetClaim", pb.GetClaimRequest(**ids))
        await self.call("ListClaims", pb.ListClaimsRequest(org_id=org_id(self.org)))
        await self.call("CreateClaim", pb.CreateClaimRequest(org_id=org_id(self.org), domain=claim.domain))
        await self.call("SetWildcard", pb.SetWildcardRequest(**ids, wildcard=True))
        await self.call("RenewClaimToken", pb.RenewClaimTokenRequest(**ids))
        for withdraw in (False, True):
            request = pb.DelegateSubdomainRequest(
                **ids, domain=f"mail.{claim.domain}", subsidiary_org_id=org_id("nobody"), withdraw=withdraw
            )
            await self.call("DelegateSubdomain", request)

    def events(self) -> Iterator[str]:
        """What is published to the organisation's own side."""
        for kind, whose, message in self.harness.events():
            if whose == org_id(self.org):
                yield f"{kind} {message}"


def names_of(harness: ClaimsHarness, org: str, claims: list[pb.DomainClaim]) -> set[str]:
    """Whatever could tell who an organisation is."""
    members = {user_id(f"{org} {role} ") for role in ("Owner", "Admin", "User")}
    return {org, org_id(org), org_id(org).replace("-", ""), *members, *(claim.claim_id for claim in claims)}


async def test_a_conflict_names_nobody_to_either_side_at_any_step(harness: ClaimsHarness) -> None:
    harness.orgs.below.add((org_id("nobody"), org_id("incumbent")))
    sides = {org: Seen(harness, org) for org in ("incumbent", "challenger")}
    claims: dict[str, list[pb.DomainClaim]] = {org: [] for org in sides}

    async def look() -> None:
        for org, seen in sides.items():
            for claim in claims[org]:
                await seen.look(claim)

    # Both claim; the second proves first, the first proves too, an operator settles, the winner gives up.
    for org, seen in sides.items():
        made = await seen.call("CreateClaim", pb.CreateClaimRequest(org_id=org_id(org), domain=DOMAIN))
        claims[org].append(made.claim)
    await look()
    for org in ("challenger", "incumbent"):
        request = pb.RenewClaimTokenRequest(org_id=org_id(org), claim_id=claims[org][0].claim_id)
        renewed = await sides[org].call("RenewClaimToken", request)
        answer = await harness.submit(harness.mail(renewed.mail_to))
        sides[org].texts.append(f"SubmitVerificationEmail {answer}")
        await look()
    assert answer.outcome == CONFLICT
    (conflict,) = await harness.conflicts()
    await harness.resolve(conflict, claims["incumbent"][0])
    await look()
    # A wildcard over what the other claims, and a claim below the other's wildcard.
    below = await sides["challenger"].call(
        "CreateClaim", pb.CreateClaimRequest(org_id=org_id("challenger"), domain=f"mail.{DOMAIN}")
    )
    claims["challenger"].append(below.claim)
    await look()
    revoke = pb.RevokeClaimRequest(
        org_id=org_id("incumbent"), claim_id=claims["incumbent"][0].claim_id, reason="we give it up"
    )
    await sides["incumbent"].call("RevokeClaim", revoke)
    await look()

    for org, other in (("incumbent", "challenger"), ("challenger", "incumbent")):
        seen = [*sides[org].texts, *sides[org].events()]
        assert len(seen) > 30
        for name in names_of(harness, other, claims[other]):
            assert not [text for text in seen if name in text], name
    # The other side's ids are what they are looked for by: they do stand in what their own side sees.
    assert any(org_id("challenger") in text for text in sides["challenger"].texts)


async def test_what_the_escalation_path_is_told_names_no_organisation_and_no_claim(harness: ClaimsHarness) -> None:
    made = [await harness.claim(org) for org in ("incumbent", "challenger")]
    for one in made:
        await harness.prove(one)
    told = [(whose, message) for kind, whose, message in harness.events() if ".conflict_" in kind]
    assert told
    for whose, message in told:
        assert whose == ""
        for name in (*(one.claim.claim_id for one in made), *(one.claim.org_id for one in made)):
            assert name not in str(message)


async def test_answers_for_a_claimed_and_an_unclaimed_domain_have_one_shape(harness: ClaimsHarness) -> None:
    harness.publish("free.com")
    await harness.verified("incumbent")
    taken, free = await harness.claim("challenger"), await harness.claim("challenger", "free.com")
    assert shape(taken) == shape(free)
    assert {field.name for field, _ in taken.claim.ListFields()} == {field.name for field, _ in free.claim.ListFields()}


async def test_a_tenant_may_not_see_conflicts_or_submit_mail() -> None:
    levels = {
        method.name: str(method.GetOptions()).strip()
        for method in pb.DESCRIPTOR.services_by_name["IdentityService"].methods
    }
    for name in ("ListConflicts", "ResolveConflict", "ListAudit"):
        assert "AUTH_LEVEL_OPERATOR" in levels[name]
    assert "AUTH_LEVEL_SERVICE" in levels["SubmitVerificationEmail"]
    assert RELAY.is_platform


def shape(message: Message) -> list[str]:
    return [field.name for field, _ in message.ListFields()]
