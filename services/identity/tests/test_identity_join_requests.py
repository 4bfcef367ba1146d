"""Private suggestions and join requests: a hint, and nothing about members (spec 01, privacy)."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_dev.testing.plugin import MakeServiceDatabase
from people_world import SIGN_UP_PAGE, World, org_id, user, user_id

ANN, BEA = "ann@acme.example", "bea@acme.example"
NOT_AVAILABLE = ("NOT_FOUND", "JOIN_NOT_AVAILABLE")


@pytest.fixture
def world(service_database: MakeServiceDatabase) -> World:
    """acme, of which Ann is the Owner, has verified acme.example."""
    made = World(service_database("identity"))
    made.add_member("acme", ANN, "Owner")
    made.add_claim("acme", "acme.example")
    return made


async def suggested(world: World, email: str) -> bool:
    answer = await world.call(SIGN_UP_PAGE, "SuggestOrg", pb.SuggestOrgRequest(email=email))
    hint: bool = answer.may_ask_to_join
    return hint


async def ask(world: World, email: str) -> str:
    answer = await world.call(user(email), "CreateJoinRequest", pb.CreateJoinRequestRequest())
    assert answer.state == pb.JOIN_REQUEST_STATE_PENDING
    request_id: str = answer.join_request_id
    return request_id


def decision(request_id: str, *, approve: bool, org: str = "acme") -> pb.DecideJoinRequestRequest:
    return pb.DecideJoinRequestRequest(org_id=org_id(org), join_request_id=request_id, approve=approve)


def delegating(*given: tuple[str, str]) -> str:
    """A proof with delegations of names to organisations."""
    at = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
    return json.dumps(
        {"delegations": [{"domain": domain, "org_id": org_id(org), "delegated_at": at} for domain, org in given]}
    )


async def test_an_address_is_hinted_at_when_a_verified_claim_covers_its_domain(world: World) -> None:
    world.add_claim("wide", "wide.example", wildcard=True)
    world.add_claim("idn", "xn--bcher-kva.example")
    for email in ("new@acme.example", "NEW@ACME.EXAMPLE.", "x@wide.example", "x@a.b.wide.example", "x@bücher.example"):
        assert await suggested(world, email), email


async def test_a_claim_covers_neither_names_above_beside_nor_below_it_nor_before_it_is_verified(world: World) -> None:
    world.add_claim("wide", "eu.wide.example", wildcard=True)
    for status in ("pending", "pending_conflict", "revoked"):
        world.add_claim("early", f"{status.replace('_', '-')}.example", status=status)
    for domain in (
        "sub.acme.example",
        "example",
        "notacme.example",
        "acme.example.org",
        "wide.example",
        "neu.wide.example",
        "pending.example",
        "pending-conflict.example",
        "revoked.example",
    ):
        if "." in domain:
            assert not await suggested(world, f"x@{domain}"), domain
            world.add_user(f"x@{domain}")
            refused = await world.reason(user(f"x@{domain}"), "CreateJoinRequest", pb.CreateJoinRequestRequest())
            assert refused == NOT_AVAILABLE


async def test_whoever_has_the_nearest_right_to_a_name_is_asked(world: World) -> None:
    world.add_claim("group", "group.example", wildcard=True, proof=delegating(("shop.group.example", "shop")))
    world.add_claim("deep", "deep.group.example", wildcard=True)
    world.add_claim("exact", "www.deep.group.example")
    world.add_claim("plain", "plain.example", proof=delegating(("sub.plain.example", "shop")))
    for domain, org in (
        ("group.example", "group"),
        ("shop.group.example", "shop"),
        ("till.shop.group.example", "group"),
        ("a.deep.group.example", "deep"),
        ("www.deep.group.example", "exact"),
        ("sub.plain.example", "shop"),
    ):
        world.add_user(f"p@{domain}")
        request_id = await ask(world, f"p@{domain}")
        assert world.rows("SELECT org_id::text FROM join_request WHERE request_id = %s", request_id) == [
            (org_id(org),)
        ], domain


async def test_what_is_answered_says_nothing_of_members_nor_of_how_many_there_are(world: World) -> None:
    """The same two calls before and after the company has grown; the answers have no field to say more in."""
    assert [field.name for field in pb.SuggestOrgResponse.DESCRIPTOR.fields] == ["may_ask_to_join"]
    assert [field.name for field in pb.CreateJoinRequestResponse.DESCRIPTOR.fields] == ["join_request_id", "state"]
    answers = []
    for round_of_calls in range(2):
        asker = world.add_user(f"asker{round_of_calls}@acme.example")
        hints = [
            (await world.call(SIGN_UP_PAGE, "SuggestOrg", pb.SuggestOrgRequest(email=email))).SerializeToString()
            # A stranger, the Owner, somebody who is invited, and somebody who has asked.
            for email in ("nobody@acme.example", ANN, "invited@acme.example", "asker0@acme.example")
        ]
        made = await world.call(asker, "CreateJoinRequest", pb.CreateJoinRequestRequest())
        known = made.SerializeToString().replace(made.join_request_id.encode(), b"")
        answers.append((set(hints), known))
        for n in range(20):
            world.add_member("acme", f"member{round_of_calls}-{n}@acme.example", "User")
        await world.invite(user(ANN), "acme", f"invited{round_of_calls}@acme.example")
    assert answers[0] == answers[1]
    assert len(answers[0][0]) == 1
    for secret in (org_id("acme"), ANN, user_id(ANN), "acme"):
        assert secret.encode() not in b"".join([*answers[0][0], answers[0][1]])


async def test_the_refusals_of_asking_name_nobody(world: World) -> None:
    world.add_user("out@elsewhere.example")
    world.add_user(BEA)
    await ask(world, BEA)
    for email in ("out@elsewhere.example", BEA, ANN):
        refused = await world.refused(user(email), "CreateJoinRequest", pb.CreateJoinRequestRequest())
        said = f"{refused.message} {refused.metadata}"
        assert not any(name in said for name in ("acme", org_id("acme"), ANN, user_id(ANN), "1", "2"))


async def test_who_has_asked_or_belongs_already_is_told_so(world: World) -> None:
    world.add_user(BEA)
    await ask(world, BEA)
    again = await world.reason(user(BEA), "CreateJoinRequest", pb.CreateJoinRequestRequest())
    assert again == ("ALREADY_EXISTS", "JOIN_REQUEST_EXISTS")
    member = await world.reason(user(ANN), "CreateJoinRequest", pb.CreateJoinRequestRequest())
    assert member == ("ALREADY_EXISTS", "MEMBER_EXISTS")
    for nobody in (SIGN_UP_PAGE, user("gone@acme.example")):
        assert await world.reason(nobody, "CreateJoinRequest", pb.CreateJoinRequestRequest()) == NOT_AVAILABLE


async def test_an_admin_approves_and_the_person_is_a_user_audited_and_announced(world: World) -> None:
    cat = world.add_member("acme", "cat@acme.example", "Admin")
    world.add_user(BEA)
    request_id = await ask(world, BEA)
    answer = await world.call(cat, "DecideJoinRequest", decision(request_id, approve=True))
    assert (answer.join_request.state, answer.join_request.email) == (pb.JOIN_REQUEST_STATE_APPROVED, BEA)
    assert answer.join_request.decided_by == cat.subject
    assert world.roles("acme")[BEA] == "User"
    assert world.audited() == ["join_request.create", "join_request.approve", "membership.create"]
    assert world.rows("SELECT subject FROM outbox") == [("events.identity.membership.created",)]
    assert world.rows("SELECT actor FROM audit_entry WHERE action = 'join_request.approve'") == [(cat.subject,)]
    again = await world.reason(user(ANN), "DecideJoinRequest", decision(request_id, approve=False))
    assert again == ("FAILED_PRECONDITION", "JOIN_REQUEST_DECIDED")


async def test_a_denied_person_is_no_member_and_may_ask_again(world: World) -> None:
    world.add_user(BEA)
    request_id = await ask(world, BEA)
    answer = await world.call(user(ANN), "DecideJoinRequest", decision(request_id, approve=False))
    assert answer.join_request.state == pb.JOIN_REQUEST_STATE_DENIED
    assert (world.audited()[-1], BEA in world.roles("acme")) == ("join_request.deny", False)
    assert await ask(world, BEA) != request_id


async def test_a_request_by_address_alone_makes_its_user_when_it_is_approved(world: World) -> None:
    request_id = user_id("the request")
    world.write(
        "INSERT INTO join_request (request_id, org_id, email, state, created_at)"
        " VALUES (%s, %s, 'Old@Acme.example', 'pending', now())",
        request_id,
        org_id("acme"),
    )
    await world.call(user(ANN), "DecideJoinRequest", decision(request_id, approve=True))
    assert world.roles("acme")["old@acme.example"] == "User"
    assert world.audited("app_user.create") == ["app_user.create"]


async def test_only_admins_of_the_organisation_decide_and_see_requests(world: World) -> None:
    world.add_user(BEA)
    request_id = await ask(world, BEA)
    world.add_member("acme", "dan@acme.example", "User")
    world.add_member("other", "eve@other.example", "Owner")
    for outsider in (user("dan@acme.example"), user("eve@other.example"), user(BEA)):
        refused = await world.reason(outsider, "DecideJoinRequest", decision(request_id, approve=True))
        assert refused == ("PERMISSION_DENIED", "ROLE_REQUIRED")
        listing = pb.ListJoinRequestsRequest(org_id=org_id("acme"))
        assert (await world.refused(outsider, "ListJoinRequests", listing)).reason == "ROLE_REQUIRED"
    foreign = decision(request_id, approve=True, org="other")
    refused = await world.reason(user("eve@other.example"), "DecideJoinRequest", foreign)
    assert refused == ("NOT_FOUND", "JOIN_REQUEST_NOT_FOUND")


async def test_requests_are_listed_newest_first_by_pages(world: World) -> None:
    made = []
    for n in range(5):
        world.pass_time(minutes=1)
        world.add_user(f"p{n}@acme.example")
        made.append(await ask(world, f"p{n}@acme.example"))
    await world.call(user(ANN), "DecideJoinRequest", decision(made[3], approve=False))
    request = pb.ListJoinRequestsRequest(org_id=org_id("acme"), page_size=3)
    first = await world.call(user(ANN), "ListJoinRequests", request)
    request.page_token = first.next_page_token
    second = await world.call(user(ANN), "ListJoinRequests", request)
    listed = [one.join_request_id for one in (*first.join_requests, *second.join_requests)]
    assert (listed, second.next_page_token) == (made[::-1], "")
    pending = pb.ListJoinRequestsRequest(org_id=org_id("acme"), pending_only=True)
    found = (await world.call(user(ANN), "ListJoinRequests", pending)).join_requests
    assert [one.join_request_id for one in found] == [made[n] for n in (4, 2, 1, 0)]


async def test_who_asks_or_looks_too_often_is_slowed_down(world: World) -> None:
    rpcs, bea = world.process(rate=2), world.add_user("bea@elsewhere.example")
    for _ in range(2):
        refused = await world.refused(bea, "CreateJoinRequest", pb.CreateJoinRequestRequest(), rpcs=rpcs)
        assert refused.reason == "JOIN_NOT_AVAILABLE"
        await world.call(SIGN_UP_PAGE, "SuggestOrg", pb.SuggestOrgRequest(email=BEA), rpcs=rpcs)
    slowed = await world.refused(bea, "CreateJoinRequest", pb.CreateJoinRequestRequest(), rpcs=rpcs)
    assert (slowed.code, slowed.reason) == ("RESOURCE_EXHAUSTED", "JOIN_RATE_LIMITED")
    slowed = await world.refused(SIGN_UP_PAGE, "SuggestOrg", pb.SuggestOrgRequest(email=BEA), rpcs=rpcs)
    assert (slowed.code, slowed.reason) == ("RESOURCE_EXHAUSTED", "SUGGESTION_RATE_LIMITED")


async def test_a_suggestion_for_what_is_no_address_is_refused(world: World) -> None:
    refused = await world.reason(SIGN_UP_PAGE, "SuggestOrg", pb.SuggestOrgRequest(email="acme.example"))
    assert refused == ("INVALID_ARGUMENT", "EMAIL_MALFORMED")
