"""Claims of one name by several organisations, wildcards and delegations, walked through from all sides (spec 01)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.errors import Unavailable
from apportion_dev.testing.databases import ServiceDatabase
from apportion_identity.jobs.escalate_conflicts import EscalateConflicts
from apportion_identity.jobs.expire_claims import ExpireClaims
from claims_world import CONFLICT, DOMAIN, OPERATOR, VERIFIED, World, org_id

STATUS_PENDING, STATUS_CONFLICT = pb.CLAIM_STATUS_PENDING, pb.CLAIM_STATUS_PENDING_CONFLICT
STATUS_VERIFIED, STATUS_REVOKED = pb.CLAIM_STATUS_VERIFIED, pb.CLAIM_STATUS_REVOKED


@pytest.fixture
def world(service_database: Callable[[str], ServiceDatabase]) -> World:
    return World(service_database("identity"))


def revoke(claim: pb.DomainClaim) -> pb.RevokeClaimRequest:
    return pb.RevokeClaimRequest(org_id=claim.org_id, claim_id=claim.claim_id, reason="given up")


def delegate(claim: pb.DomainClaim, domain: str, to: str, *, withdraw: bool = False) -> pb.DelegateSubdomainRequest:
    return pb.DelegateSubdomainRequest(
        org_id=claim.org_id, claim_id=claim.claim_id, domain=domain, subsidiary_org_id=org_id(to), withdraw=withdraw
    )


def escalation(world: World, *, paused: bool = False) -> EscalateConflicts:
    return EscalateConflicts(world.database, world.use_cases.conflicts, lambda: paused)


async def test_a_claim_of_a_held_name_waits_in_conflict_and_operators_learn_of_it(world: World) -> None:
    first = await world.claim("first")
    second = await world.claim("second")
    assert second.claim.status == STATUS_CONFLICT
    assert (await world.get(first.claim)).status == STATUS_PENDING
    (conflict,) = await world.conflicts()
    assert (conflict.claim.claim_id, conflict.against.claim_id) == (second.claim.claim_id, first.claim.claim_id)
    assert (conflict.claim_proved, conflict.against_proved) == (False, False)
    assert conflict.due_at.seconds - conflict.opened_at.seconds == 72 * 3_600
    ((_, whose, opened),) = world.facts("identity.claim.conflict_opened")
    assert whose == ""
    assert opened == pb.ClaimConflictOpened(
        conflict_id=conflict.conflict_id, domain=DOMAIN, opened_at=conflict.opened_at, due_at=conflict.due_at
    )


async def test_a_squatter_does_not_block_who_proves_the_domain(world: World) -> None:
    squatter, owner = await world.claim("squatter"), await world.claim("owner")
    assert (await world.prove(owner)).outcome == VERIFIED
    assert (await world.get(owner.claim)).status == STATUS_VERIFIED
    assert (await world.get(squatter.claim)).status == STATUS_CONFLICT
    (conflict,) = await world.conflicts()
    assert {conflict.claim.claim_id, conflict.against.claim_id} == {squatter.claim.claim_id, owner.claim.claim_id}
    ((_, whose, _),) = world.facts("identity.claim.conflicted")
    assert whose == org_id("squatter")
    world.pass_time(hours=72)
    jobs = ExpireClaims(world.database, world.use_cases.claims, world.use_cases.settings, lambda: False)
    assert await jobs.round() == 1
    assert (await world.get(squatter.claim)).status == STATUS_REVOKED
    assert await world.conflicts() == []


async def test_who_waited_behind_a_squatter_waits_behind_the_owner_then(world: World) -> None:
    claims = [await world.claim(name) for name in ("squatter", "one", "two", "owner")]
    await world.prove(claims[3])
    conflicts = await world.conflicts()
    owner = claims[3].claim.claim_id
    assert all(owner in (one.claim.claim_id, one.against.claim_id) for one in conflicts)
    sides = {claim_id for one in conflicts for claim_id in (one.claim.claim_id, one.against.claim_id)}
    assert sides == {made.claim.claim_id for made in claims}
    assert len(conflicts) == 3


async def test_a_proof_against_a_verified_claim_is_kept_and_an_operator_settles(world: World) -> None:
    holder, newcomer = await world.verified("holder"), await world.claim("newcomer")
    answer = await world.prove(newcomer)
    assert (answer.outcome, answer.reason) == (CONFLICT, "DOMAIN_CONFLICT")
    assert await world.prove(newcomer) == answer
    assert world.attempts() == [("PROVED", True), ("PROVED", True)]
    assert (await world.get(holder)).status == STATUS_VERIFIED
    assert (await world.get(newcomer.claim)).status == STATUS_CONFLICT
    (conflict,) = await world.conflicts()
    assert (conflict.claim_proved, conflict.against_proved) == (True, True)
    settled = await world.resolve(conflict, newcomer.claim)
    assert settled.state == pb.CONFLICT_STATE_RESOLVED
    assert (settled.resolution, settled.resolved_by) == ("They showed their contract.", OPERATOR.subject)
    assert (await world.get(newcomer.claim)).status == STATUS_VERIFIED
    assert (await world.get(holder)).status == STATUS_REVOKED
    assert await world.conflicts() == []
    (listed,) = await world.conflicts(include_resolved=True)
    assert listed == settled
    again = pb.ResolveConflictRequest(conflict_id=conflict.conflict_id, winner_claim_id=holder.claim_id, reason="again")
    assert await world.reason(OPERATOR, "ResolveConflict", again) == ("FAILED_PRECONDITION", "CONFLICT_RESOLVED")


async def test_an_operator_may_leave_the_domain_with_its_holder(world: World) -> None:
    holder, newcomer = await world.verified("holder"), await world.claim("newcomer")
    await world.prove(newcomer)
    (conflict,) = await world.conflicts()
    await world.resolve(conflict, holder)
    assert (await world.get(holder)).status == STATUS_VERIFIED
    assert (await world.get(newcomer.claim)).status == STATUS_REVOKED


async def test_a_winner_that_has_proved_nothing_is_pending_with_time_to_prove(world: World) -> None:
    holder, newcomer = await world.verified("holder"), await world.claim("newcomer")
    (conflict,) = await world.conflicts()
    world.pass_time(hours=71)
    await world.resolve(conflict, newcomer.claim)
    assert (await world.get(holder)).status == STATUS_REVOKED
    winner = await world.get(newcomer.claim)
    assert winner.status == STATUS_PENDING
    assert winner.token_expires_at.seconds == int(world.clock.now().timestamp()) + 72 * 3_600
    world.pass_time(hours=71)
    assert (await world.prove(newcomer)).outcome == VERIFIED


async def test_only_one_of_the_two_claims_wins_a_conflict_that_there_is(world: World) -> None:
    first, _, third = await world.claim("first"), await world.claim("second"), await world.claim("third", "third.com")
    (conflict,) = await world.conflicts()
    foreign = pb.ResolveConflictRequest(
        conflict_id=conflict.conflict_id, winner_claim_id=third.claim.claim_id, reason="r"
    )
    unknown = pb.ResolveConflictRequest(
        conflict_id=first.claim.claim_id, winner_claim_id=first.claim.claim_id, reason="r"
    )
    assert await world.reason(OPERATOR, "ResolveConflict", foreign) == ("INVALID_ARGUMENT", "WINNER_NOT_IN_CONFLICT")
    assert await world.reason(OPERATOR, "ResolveConflict", unknown) == ("NOT_FOUND", "CONFLICT_NOT_FOUND")


async def test_when_a_holder_gives_up_the_earliest_proof_behind_it_counts(world: World) -> None:
    holder = await world.verified("holder")
    early, late, unproved = [await world.claim(name) for name in ("early", "late", "unproved")]
    assert (await world.prove(early)).outcome == CONFLICT
    world.pass_time(minutes=1)
    assert (await world.prove(late)).outcome == CONFLICT
    await world.call(world.member("holder"), "RevokeClaim", revoke(holder))
    assert (await world.get(early.claim)).status == STATUS_VERIFIED
    assert (await world.get(late.claim)).status == STATUS_CONFLICT
    # Nobody who proved nothing is told what became of the others.
    assert (await world.get(unproved.claim)).status == STATUS_PENDING
    (conflict,) = await world.conflicts()
    assert {conflict.claim.claim_id, conflict.against.claim_id} == {early.claim.claim_id, late.claim.claim_id}
    assert (await world.prove(unproved)).outcome == CONFLICT


async def test_a_proof_that_waits_keeps_a_claim_from_expiring(world: World) -> None:
    await world.verified("holder")
    newcomer = await world.claim("newcomer")
    await world.prove(newcomer)
    world.pass_time(days=30)
    jobs = ExpireClaims(world.database, world.use_cases.claims, world.use_cases.settings, lambda: False)
    assert await jobs.round() == 0
    assert (await world.get(newcomer.claim)).status == STATUS_CONFLICT


async def test_overdue_conflicts_are_escalated_every_day_until_they_are_settled(world: World) -> None:
    holder, newcomer = await world.verified("holder"), await world.claim("newcomer")
    await world.prove(newcomer)
    world.pass_time(hours=71, minutes=59)
    assert await escalation(world).round() == 0
    world.pass_time(minutes=1)
    assert await escalation(world, paused=True).round() == 0
    assert await escalation(world).round() == 1
    assert await escalation(world).round() == 0
    world.pass_time(hours=24)
    assert await escalation(world).round() == 1
    counted = [message.escalation for _, _, message in world.facts("identity.claim.conflict_overdue")]  # type: ignore[attr-defined]
    assert counted == [1, 2]
    (conflict,) = await world.conflicts(overdue_only=True)
    assert conflict.HasField("escalated_at")
    assert world.audited("claim_conflict.escalate") == ["claim_conflict.escalate"] * 2
    await world.resolve(conflict, holder)
    world.pass_time(hours=48)
    assert await escalation(world).round() == 0


async def test_conflicts_are_listed_by_their_due_time_by_pages(world: World) -> None:
    for number in range(3):
        await world.claim("first", f"name{number}.com")
        await world.claim("second", f"name{number}.com")
        world.pass_time(minutes=1)
    listed, token = [], ""
    while True:
        request = pb.ListConflictsRequest(page_size=2, page_token=token)
        page = await world.call(OPERATOR, "ListConflicts", request)
        listed += [one.claim.domain for one in page.conflicts]
        token = page.next_page_token
        if not token:
            break
    assert listed == ["name0.com", "name1.com", "name2.com"]


async def test_a_wildcard_needs_the_owner_a_second_factor_and_a_verified_root(world: World) -> None:
    claim = await world.verified("acme")
    below = await world.verified("acme", "mail.acme.com")
    pending = await world.claim("acme", "acme.org")

    async def reason(claim: pb.DomainClaim, role: str, *amr: str) -> str:
        request = pb.SetWildcardRequest(org_id=claim.org_id, claim_id=claim.claim_id, wildcard=True)
        return (await world.refused(world.member("acme", role, amr=amr), "SetWildcard", request)).reason

    for amr in ((), ("pwd",), ("pwd", "pin"), ("sms",)):
        assert await reason(claim, "Owner", *amr) == "SECOND_FACTOR_REQUIRED"
    assert await reason(claim, "Admin", "mfa") == "OWNER_REQUIRED"
    assert await reason(pending.claim, "Owner", "hwk") == "CLAIM_NOT_VERIFIED"
    assert await reason(below, "Owner", "hwk") == "CLAIM_NOT_ROOT"
    assert (await world.wildcard(claim, "acme")).wildcard
    assert (await world.wildcard(claim, "acme")).wildcard
    assert world.audited("domain_claim.set_wildcard") == ["domain_claim.set_wildcard"]
    assert not (await world.wildcard(claim, "acme", on=False)).wildcard


async def test_a_wildcard_puts_later_claims_of_others_below_it_in_conflict(world: World) -> None:
    root = await world.verified("acme")
    await world.wildcard(root, "acme")
    own = await world.claim("acme", "own.acme.com")
    other = await world.claim("other", "deep.mail.acme.com")
    world.publish("deep.mail.acme.com")
    assert own.claim.status == STATUS_PENDING
    assert other.claim.status == STATUS_CONFLICT
    assert (await world.prove(other)).outcome == CONFLICT
    await world.wildcard(root, "acme", on=False)
    assert (await world.get(other.claim)).status == STATUS_VERIFIED
    assert await world.conflicts() == []


async def test_a_wildcard_meets_earlier_claims_below_it(world: World) -> None:
    root = await world.verified("acme")
    pending = await world.claim("other", "mail.acme.com")
    assert (await world.wildcard(root, "acme")).wildcard
    assert (await world.get(pending.claim)).status == STATUS_CONFLICT
    await world.wildcard(root, "acme", on=False)
    assert (await world.get(pending.claim)).status == STATUS_PENDING
    world.publish("mail.acme.com")
    assert (await world.prove(pending)).outcome == VERIFIED
    request = pb.SetWildcardRequest(org_id=root.org_id, claim_id=root.claim_id, wildcard=True)
    caller = world.member("acme", amr=["mfa"])
    assert await world.reason(caller, "SetWildcard", request) == ("FAILED_PRECONDITION", "WILDCARD_CONFLICT")


async def test_a_name_below_that_wins_takes_the_wildcard_and_leaves_the_root(world: World) -> None:
    root = await world.verified("acme")
    await world.wildcard(root, "acme")
    other = await world.claim("other", "mail.acme.com")
    world.publish("mail.acme.com")
    await world.prove(other)
    (conflict,) = await world.conflicts()
    await world.resolve(conflict, other.claim)
    assert (await world.get(other.claim)).status == STATUS_VERIFIED
    kept = await world.get(root)
    assert (kept.status, kept.wildcard) == (STATUS_VERIFIED, False)


async def test_a_head_office_delegates_a_name_to_a_subsidiary_it_controls(world: World) -> None:
    root = await world.verified("acme")
    await world.wildcard(root, "acme")
    claimed = await world.claim("subsidiary", "emea.acme.com")
    world.publish("emea.acme.com")
    assert (await world.prove(claimed)).outcome == CONFLICT
    owner = world.member("acme")
    stranger = await world.reason(owner, "DelegateSubdomain", delegate(root, "emea.acme.com", "subsidiary"))
    assert stranger == ("FAILED_PRECONDITION", "NOT_A_SUBSIDIARY")
    world.orgs.below |= {(org_id("subsidiary"), org_id("acme")), (org_id("second"), org_id("acme"))}
    answer = await world.call(owner, "DelegateSubdomain", delegate(root, "EMEA.acme.com", "subsidiary"))
    (given,) = answer.claim.delegations
    assert (given.domain, given.org_id) == ("emea.acme.com", org_id("subsidiary"))
    assert (await world.get(claimed.claim)).status == STATUS_VERIFIED
    assert (await world.claim("subsidiary", "deep.emea.acme.com")).claim.status == STATUS_PENDING
    assert (await world.claim("other", "x.emea.acme.com")).claim.status == STATUS_CONFLICT
    held = await world.reason(owner, "DelegateSubdomain", delegate(root, "emea.acme.com", "second"))
    assert held == ("FAILED_PRECONDITION", "SUBDOMAIN_HELD")
    assert world.audited("domain_claim.delegations") == ["domain_claim.delegations"]
    ((listed,),) = world.rows("SELECT proof -> 'delegations' FROM domain_claim WHERE claim_id = %s", root.claim_id)
    assert [entry["domain"] for entry in listed] == ["emea.acme.com"]
    taken = await world.call(owner, "DelegateSubdomain", delegate(root, "emea.acme.com", "subsidiary", withdraw=True))
    assert list(taken.claim.delegations) == []


async def test_only_what_lies_below_a_verified_claim_and_is_free_is_delegated(world: World) -> None:
    root, pending = await world.verified("acme"), await world.claim("acme", "acme.org")
    await world.verified("third", "third.acme.com")
    world.orgs.below.add((org_id("subsidiary"), org_id("acme")))
    owner = world.member("acme")
    for claim, domain, reason in (
        (pending.claim, "a.acme.org", "CLAIM_NOT_VERIFIED"),
        (root, "acme.com", "NOT_A_SUBDOMAIN"),
        (root, "notacme.com", "NOT_A_SUBDOMAIN"),
        (root, "third.acme.com", "SUBDOMAIN_HELD"),
        (root, "..", "DOMAIN_MALFORMED"),
    ):
        assert (await world.refused(owner, "DelegateSubdomain", delegate(claim, domain, "subsidiary"))).reason == reason
    admin = world.member("acme", "Admin")
    refused = await world.reason(admin, "DelegateSubdomain", delegate(root, "a.acme.com", "subsidiary"))
    assert refused == ("PERMISSION_DENIED", "OWNER_REQUIRED")


async def test_a_claim_delegates_so_many_names(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apportion_identity.app.delegation.DELEGATIONS_MAX", 1)
    root = await world.verified("acme")
    world.orgs.below.add((org_id("subsidiary"), org_id("acme")))
    owner = world.member("acme")
    await world.call(owner, "DelegateSubdomain", delegate(root, "a.acme.com", "subsidiary"))
    await world.call(owner, "DelegateSubdomain", delegate(root, "a.acme.com", "subsidiary"))
    error = await world.refused(owner, "DelegateSubdomain", delegate(root, "b.acme.com", "subsidiary"))
    assert error.reason == "TOO_MANY_DELEGATIONS"


async def test_a_delegation_waits_for_orgs_and_a_repetition_does_not(world: World) -> None:
    root = await world.verified("acme")
    world.orgs.below.add((org_id("subsidiary"), org_id("acme")))
    world.orgs.failure = Unavailable("ORGS_UNAVAILABLE", "Later.", retry_after_s=1)
    request, owner = delegate(root, "a.acme.com", "subsidiary"), world.member("acme")
    assert await world.reason(owner, "DelegateSubdomain", request) == ("UNAVAILABLE", "ORGS_UNAVAILABLE")
    world.orgs.failure = None
    first = await world.call(owner, "DelegateSubdomain", request)
    world.orgs.failure = Unavailable("ORGS_UNAVAILABLE", "Later.", retry_after_s=1)
    assert await world.call(owner, "DelegateSubdomain", request) == first
