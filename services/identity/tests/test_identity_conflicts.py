"""Claims of one name by several organisations, wildcards and delegations, walked through from all sides (spec 01)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.errors import Unavailable
from apportion_dev.testing.databases import ServiceDatabase
from apportion_identity.jobs.escalate_conflicts import ConflictEscalationJob
from apportion_identity.jobs.expire_claims import ClaimExpiryJob
from claims_harness import CONFLICT, DOMAIN, VERIFIED, ClaimsHarness
from identity_harness import OPERATOR, org_id

STATUS_PENDING, STATUS_CONFLICT = pb.CLAIM_STATUS_PENDING, pb.CLAIM_STATUS_PENDING_CONFLICT
STATUS_VERIFIED, STATUS_REVOKED = pb.CLAIM_STATUS_VERIFIED, pb.CLAIM_STATUS_REVOKED


@pytest.fixture
def harness(service_database: Callable[[str], ServiceDatabase]) -> ClaimsHarness:
    return ClaimsHarness(service_database("identity"))


def revoke(claim: pb.DomainClaim) -> pb.RevokeClaimRequest:
    return pb.RevokeClaimRequest(org_id=claim.org_id, claim_id=claim.claim_id, reason="given up")


def delegate(claim: pb.DomainClaim, domain: str, to: str, *, withdraw: bool = False) -> pb.DelegateSubdomainRequest:
    return pb.DelegateSubdomainRequest(
        org_id=claim.org_id, claim_id=claim.claim_id, domain=domain, subsidiary_org_id=org_id(to), withdraw=withdraw
    )


def escalation(harness: ClaimsHarness, *, paused: bool = False) -> ConflictEscalationJob:
    return ConflictEscalationJob(harness.use_cases.conflicts, lambda: paused)


async def test_a_claim_of_a_held_name_waits_in_conflict_and_operators_learn_of_it(harness: ClaimsHarness) -> None:
    first = await harness.claim("first")
    second = await harness.claim("second")
    assert second.claim.status == STATUS_CONFLICT
    assert (await harness.get(first.claim)).status == STATUS_PENDING
    (conflict,) = await harness.conflicts()
    assert (conflict.claim.claim_id, conflict.against.claim_id) == (second.claim.claim_id, first.claim.claim_id)
    assert (conflict.claim_proved, conflict.against_proved) == (False, False)
    assert conflict.due_at.seconds - conflict.opened_at.seconds == 72 * 3_600
    ((_, whose, opened),) = harness.events("identity.claim.conflict_opened")
    assert whose == ""
    assert opened == pb.ClaimConflictOpened(
        conflict_id=conflict.conflict_id, domain=DOMAIN, opened_at=conflict.opened_at, due_at=conflict.due_at
    )


async def test_a_squatter_does_not_block_who_proves_the_domain(harness: ClaimsHarness) -> None:
    squatter, owner = await harness.claim("squatter"), await harness.claim("owner")
    assert (await harness.prove(owner)).outcome == VERIFIED
    assert (await harness.get(owner.claim)).status == STATUS_VERIFIED
    assert (await harness.get(squatter.claim)).status == STATUS_CONFLICT
    (conflict,) = await harness.conflicts()
    assert {conflict.claim.claim_id, conflict.against.claim_id} == {squatter.claim.claim_id, owner.claim.claim_id}
    ((_, whose, _),) = harness.events("identity.claim.conflicted")
    assert whose == org_id("squatter")
    harness.pass_time(hours=72)
    jobs = ClaimExpiryJob(harness.use_cases.claims, lambda: False)
    assert await jobs.round() == 1
    assert (await harness.get(squatter.claim)).status == STATUS_REVOKED
    assert await harness.conflicts() == []


async def test_who_waited_behind_a_squatter_waits_behind_the_owner_then(harness: ClaimsHarness) -> None:
    claims = [await harness.claim(name) for name in ("squatter", "one", "two", "owner")]
    await harness.prove(claims[3])
    conflicts = await harness.conflicts()
    owner = claims[3].claim.claim_id
    assert all(owner in (one.claim.claim_id, one.against.claim_id) for one in conflicts)
    sides = {claim_id for one in conflicts for claim_id in (one.claim.claim_id, one.against.claim_id)}
    assert sides == {made.claim.claim_id for made in claims}
    assert len(conflicts) == 3


async def test_a_proof_against_a_verified_claim_is_kept_and_an_operator_settles(harness: ClaimsHarness) -> None:
    holder, newcomer = await harness.verified("holder"), await harness.claim("newcomer")
    answer = await harness.prove(newcomer)
    assert (answer.outcome, answer.reason) == (CONFLICT, "DOMAIN_CONFLICT")
    assert await harness.prove(newcomer) == answer
    assert harness.attempts() == [("PROVED", True), ("PROVED", True)]
    assert (await harness.get(holder)).status == STATUS_VERIFIED
    assert (await harness.get(newcomer.claim)).status == STATUS_CONFLICT
    (conflict,) = await harness.conflicts()
    assert (conflict.claim_proved, conflict.against_proved) == (True, True)
    settled = await harness.resolve(conflict, newcomer.claim)
    assert settled.state == pb.CONFLICT_STATE_RESOLVED
    assert (settled.resolution, settled.resolved_by) == ("They showed their contract.", OPERATOR.subject)
    assert (await harness.get(newcomer.claim)).status == STATUS_VERIFIED
    assert (await harness.get(holder)).status == STATUS_REVOKED
    assert await harness.conflicts() == []
    (listed,) = await harness.conflicts(include_resolved=True)
    assert listed == settled
    again = pb.ResolveConflictRequest(conflict_id=conflict.conflict_id, winner_claim_id=holder.claim_id, reason="again")
    assert await harness.reason(OPERATOR, "ResolveConflict", again) == ("FAILED_PRECONDITION", "CONFLICT_RESOLVED")


async def test_an_operator_may_leave_the_domain_with_its_holder(harness: ClaimsHarness) -> None:
    holder, newcomer = await harness.verified("holder"), await harness.claim("newcomer")
    await harness.prove(newcomer)
    (conflict,) = await harness.conflicts()
    await harness.resolve(conflict, holder)
    assert (await harness.get(holder)).status == STATUS_VERIFIED
    assert (await harness.get(newcomer.claim)).status == STATUS_REVOKED


async def test_a_winner_that_has_proved_nothing_is_pending_with_time_to_prove(harness: ClaimsHarness) -> None:
    holder, newcomer = await harness.verified("holder"), await harness.claim("newcomer")
    (conflict,) = await harness.conflicts()
    harness.pass_time(hours=71)
    await harness.resolve(conflict, newcomer.claim)
    assert (await harness.get(holder)).status == STATUS_REVOKED
    winner = await harness.get(newcomer.claim)
    assert winner.status == STATUS_PENDING
    assert winner.token_expires_at.seconds == int(harness.clock.now().timestamp()) + 72 * 3_600
    harness.pass_time(hours=71)
    assert (await harness.prove(newcomer)).outcome == VERIFIED


async def test_only_one_of_the_two_claims_wins_a_conflict_that_there_is(harness: ClaimsHarness) -> None:
    first, _, third = (
        await harness.claim("first"),
        await harness.claim("second"),
        await harness.claim("third", "third.com"),
    )
    (conflict,) = await harness.conflicts()
    foreign = pb.ResolveConflictRequest(
        conflict_id=conflict.conflict_id, winner_claim_id=third.claim.claim_id, reason="r"
    )
    unknown = pb.ResolveConflictRequest(
        conflict_id=first.claim.claim_id, winner_claim_id=first.claim.claim_id, reason="r"
    )
    assert await harness.reason(OPERATOR, "ResolveConflict", foreign) == ("INVALID_ARGUMENT", "WINNER_NOT_IN_CONFLICT")
    assert await harness.reason(OPERATOR, "ResolveConflict", unknown) == ("NOT_FOUND", "CONFLICT_NOT_FOUND")


async def test_when_a_holder_gives_up_the_earliest_proof_behind_it_counts(harness: ClaimsHarness) -> None:
    holder = await harness.verified("holder")
    early, late, unproved = [await harness.claim(name) for name in ("early", "late", "unproved")]
    assert (await harness.prove(early)).outcome == CONFLICT
    harness.pass_time(minutes=1)
    assert (await harness.prove(late)).outcome == CONFLICT
    await harness.call(harness.member("holder"), "RevokeClaim", revoke(holder))
    assert (await harness.get(early.claim)).status == STATUS_VERIFIED
    assert (await harness.get(late.claim)).status == STATUS_CONFLICT
    # Nobody who proved nothing is told what became of the others.
    assert (await harness.get(unproved.claim)).status == STATUS_PENDING
    (conflict,) = await harness.conflicts()
    assert {conflict.claim.claim_id, conflict.against.claim_id} == {early.claim.claim_id, late.claim.claim_id}
    assert (await harness.prove(unproved)).outcome == CONFLICT


async def test_a_proof_that_waits_keeps_a_claim_from_expiring(harness: ClaimsHarness) -> None:
    await harness.verified("holder")
    newcomer = await harness.claim("newcomer")
    await harness.prove(newcomer)
    harness.pass_time(days=30)
    jobs = ClaimExpiryJob(harness.use_cases.claims, lambda: False)
    assert await jobs.round() == 0
    assert (await harness.get(newcomer.claim)).status == STATUS_CONFLICT


async def test_overdue_conflicts_are_escalated_every_day_until_they_are_settled(harness: ClaimsHarness) -> None:
    holder, newcomer = await harness.verified("holder"), await harness.claim("newcomer")
    await harness.prove(newcomer)
    harness.pass_time(hours=71, minutes=59)
    assert await escalation(harness).round() == 0
    harness.pass_time(minutes=1)
    assert await escalation(harness, paused=True).round() == 0
    assert await escalation(harness).round() == 1
    assert await escalation(harness).round() == 0
    harness.pass_time(hours=24)
    assert await escalation(harness).round() == 1
    counted = [message.escalation for _, _, message in harness.events("identity.claim.conflict_overdue")]  # type: ignore[attr-defined]
    assert counted == [1, 2]
    (conflict,) = await harness.conflicts(overdue_only=True)
    assert conflict.HasField("escalated_at")
    assert harness.audited("claim_conflict.escalate") == ["claim_conflict.escalate"] * 2
    await harness.resolve(conflict, holder)
    harness.pass_time(hours=48)
    assert await escalation(harness).round() == 0


async def test_conflicts_are_listed_by_their_due_time_by_pages(harness: ClaimsHarness) -> None:
    for number in range(3):
        await harness.claim("first", f"name{number}.com")
        await harness.claim("second", f"name{number}.com")
        harness.pass_time(minutes=1)
    listed, token = [], ""
    while True:
        request = pb.ListConflictsRequest(page_size=2, page_token=token)
        page = await harness.call(OPERATOR, "ListConflicts", request)
        listed += [one.claim.domain for one in page.conflicts]
        token = page.next_page_token
        if not token:
            break
    assert listed == ["name0.com", "name1.com", "name2.com"]


async def test_a_wildcard_needs_the_owner_a_second_factor_and_a_verified_root(harness: ClaimsHarness) -> None:
    claim = await harness.verified("acme")
    below = await harness.verified("acme", "mail.acme.com")
    pending = await harness.claim("acme", "acme.org")

    async def reason(claim: pb.DomainClaim, role: str, *amr: str) -> str:
        request = pb.SetWildcardRequest(org_id=claim.org_id, claim_id=claim.claim_id, wildcard=True)
        return (await harness.rejected(harness.member("acme", role, amr=amr), "SetWildcard", request)).reason

    for amr in ((), ("pwd",), ("pwd", "pin"), ("sms",)):
        assert await reason(claim, "Owner", *amr) == "SECOND_FACTOR_REQUIRED"
    assert await reason(claim, "Admin", "mfa") == "OWNER_REQUIRED"
    assert await reason(pending.claim, "Owner", "hwk") == "CLAIM_NOT_VERIFIED"
    assert await reason(below, "Owner", "hwk") == "CLAIM_NOT_ROOT"
    assert (await harness.wildcard(claim, "acme")).wildcard
    assert (await harness.wildcard(claim, "acme")).wildcard
    assert harness.audited("domain_claim.set_wildcard") == ["domain_claim.set_wildcard"]
    assert not (await harness.wildcard(claim, "acme", on=False)).wildcard


async def test_a_wildcard_puts_later_claims_of_others_below_it_in_conflict(harness: ClaimsHarness) -> None:
    root = await harness.verified("acme")
    await harness.wildcard(root, "acme")
    own = await harness.claim("acme", "own.acme.com")
    other = await harness.claim("other", "deep.mail.acme.com")
    harness.publish("deep.mail.acme.com")
    assert own.claim.status == STATUS_PENDING
    assert other.claim.status == STATUS_CONFLICT
    assert (await harness.prove(other)).outcome == CONFLICT
    await harness.wildcard(root, "acme", on=False)
    assert (await harness.get(other.claim)).status == STATUS_VERIFIED
    assert await harness.conflicts() == []


async def test_a_wildcard_meets_earlier_claims_below_it(harness: ClaimsHarness) -> None:
    root = await harness.verified("acme")
    pending = await harness.claim("other", "mail.acme.com")
    assert (await harness.wildcard(root, "acme")).wildcard
    assert (await harness.get(pending.claim)).status == STATUS_CONFLICT
    await harness.wildcard(root, "acme", on=False)
    assert (await harness.get(pending.claim)).status == STATUS_PENDING
    harness.publish("mail.acme.com")
    assert (await harness.prove(pending)).outcome == VERIFIED
    request = pb.SetWildcardRequest(org_id=root.org_id, claim_id=root.claim_id, wildcard=True)
    caller = harness.member("acme", amr=["mfa"])
    assert await harness.reason(caller, "SetWildcard", request) == ("FAILED_PRECONDITION", "WILDCARD_CONFLICT")


async def test_a_name_below_that_wins_takes_the_wildcard_and_leaves_the_root(harness: ClaimsHarness) -> None:
    root = await harness.verified("acme")
    await harness.wildcard(root, "acme")
    other = await harness.claim("other", "mail.acme.com")
    harness.publish("mail.acme.com")
    await harness.prove(other)
    (conflict,) = await harness.conflicts()
    await harness.resolve(conflict, other.claim)
    assert (await harness.get(other.claim)).status == STATUS_VERIFIED
    kept = await harness.get(root)
    assert (kept.status, kept.wildcard) == (STATUS_VERIFIED, False)


async def test_a_head_office_delegates_a_name_to_a_subsidiary_it_controls(harness: ClaimsHarness) -> None:
    root = await harness.verified("acme")
    await harness.wildcard(root, "acme")
    claimed = await harness.claim("subsidiary", "emea.acme.com")
    harness.publish("emea.acme.com")
    assert (await harness.prove(claimed)).outcome == CONFLICT
    owner = harness.member("acme")
    stranger = await harness.reason(owner, "DelegateSubdomain", delegate(root, "emea.acme.com", "subsidiary"))
    assert stranger == ("FAILED_PRECONDITION", "NOT_A_SUBSIDIARY")
    harness.orgs.below |= {(org_id("subsidiary"), org_id("acme")), (org_id("second"), org_id("acme"))}
    answer = await harness.call(owner, "DelegateSubdomain", delegate(root, "EMEA.acme.com", "subsidiary"))
    (given,) = answer.claim.delegations
    assert (given.domain, given.org_id) == ("emea.acme.com", org_id("subsidiary"))
    assert (await harness.get(claimed.claim)).status == STATUS_VERIFIED
    assert (await harness.claim("subsidiary", "deep.emea.acme.com")).claim.status == STATUS_PENDING
    assert (await harness.claim("other", "x.emea.acme.com")).claim.status == STATUS_CONFLICT
    held = await harness.reason(owner, "DelegateSubdomain", delegate(root, "emea.acme.com", "second"))
    assert held == ("FAILED_PRECONDITION", "SUBDOMAIN_HELD")
    assert harness.audited("domain_claim.delegations") == ["domain_claim.delegations"]
    ((listed,),) = harness.rows("SELECT proof -> 'delegations' FROM domain_claim WHERE claim_id = %s", root.claim_id)
    assert [entry["domain"] for entry in listed] == ["emea.acme.com"]
    taken = await harness.call(owner, "DelegateSubdomain", delegate(root, "emea.acme.com", "subsidiary", withdraw=True))
    assert list(taken.claim.delegations) == []


async def test_only_what_lies_below_a_verified_claim_and_is_free_is_delegated(harness: ClaimsHarness) -> None:
    root, pending = await harness.verified("acme"), await harness.claim("acme", "acme.org")
    await harness.verified("third", "third.acme.com")
    harness.orgs.below.add((org_id("subsidiary"), org_id("acme")))
    owner = harness.member("acme")
    for claim, domain, reason in (
        (pending.claim, "a.acme.org", "CLAIM_NOT_VERIFIED"),
        (root, "acme.com", "NOT_A_SUBDOMAIN"),
        (root, "notacme.com", "NOT_A_SUBDOMAIN"),
        (root, "third.acme.com", "SUBDOMAIN_HELD"),
        (root, "..", "DOMAIN_MALFORMED"),
    ):
        assert (
            await harness.rejected(owner, "DelegateSubdomain", delegate(claim, domain, "subsidiary"))
        ).reason == reason
    admin = harness.member("acme", "Admin")
    rejected = await harness.reason(admin, "DelegateSubdomain", delegate(root, "a.acme.com", "subsidiary"))
    assert rejected == ("PERMISSION_DENIED", "OWNER_REQUIRED")


async def test_a_claim_delegates_so_many_names(harness: ClaimsHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apportion_identity.app.delegations.DELEGATIONS_MAX", 1)
    root = await harness.verified("acme")
    harness.orgs.below.add((org_id("subsidiary"), org_id("acme")))
    owner = harness.member("acme")
    await harness.call(owner, "DelegateSubdomain", delegate(root, "a.acme.com", "subsidiary"))
    await harness.call(owner, "DelegateSubdomain", delegate(root, "a.acme.com", "subsidiary"))
    error = await harness.rejected(owner, "DelegateSubdomain", delegate(root, "b.acme.com", "subsidiary"))
    assert error.reason == "TOO_MANY_DELEGATIONS"


async def test_a_delegation_waits_for_orgs_and_a_repetition_does_not(harness: ClaimsHarness) -> None:
    root = await harness.verified("acme")
    harness.orgs.below.add((org_id("subsidiary"), org_id("acme")))
    harness.orgs.failure = Unavailable("ORGS_UNAVAILABLE", "Later.", retry_after_s=1)
    request, owner = delegate(root, "a.acme.com", "subsidiary"), harness.member("acme")
    assert await harness.reason(owner, "DelegateSubdomain", request) == ("UNAVAILABLE", "ORGS_UNAVAILABLE")
    harness.orgs.failure = None
    first = await harness.call(owner, "DelegateSubdomain", request)
    harness.orgs.failure = Unavailable("ORGS_UNAVAILABLE", "Later.", retry_after_s=1)
    assert await harness.call(owner, "DelegateSubdomain", request) == first
