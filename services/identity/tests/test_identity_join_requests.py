"""Private suggestions and join requests: a hint, and nothing about members (spec 01, privacy)."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_dev.testing.plugin import MakeServiceDatabase
from identity_harness import org_id, user_id
from people_harness import SIGN_UP_PAGE, PeopleHarness, user

ANN, BEA = "ann@acme.example", "bea@acme.example"
NOT_AVAILABLE = ("NOT_FOUND", "JOIN_NOT_AVAILABLE")


@pytest.fixture
def harness(service_database: MakeServiceDatabase) -> PeopleHarness:
    """acme, of which Ann is the Owner, has verified acme.example."""
    made = PeopleHarness(service_database("identity"))
    made.add_member("acme", ANN, "Owner")
    made.add_claim("acme", "acme.example")
    return made


async def suggested(harness: PeopleHarness, email: str) -> bool:
    answer = await harness.call(SIGN_UP_PAGE, "SuggestOrg", pb.SuggestOrgRequest(email=email))
    hint: bool = answer.may_ask_to_join
    return hint


async def ask(harness: PeopleHarness, email: str) -> str:
    answer = await harness.call(user(email), "CreateJoinRequest", pb.CreateJoinRequestRequest())
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


async def test_an_address_is_hinted_at_when_a_verified_claim_covers_its_domain(harness: PeopleHarness) -> None:
    harness.add_claim("wide", "wide.example", wildcard=True)
    harness.add_claim("idn", "xn--bcher-kva.example")
    for email in ("new@acme.example", "NEW@ACME.EXAMPLE.", "x@wide.example", "x@a.b.wide.example", "x@bücher.example"):
        assert await suggested(harness, email), email


async def test_a_claim_covers_neither_names_above_beside_nor_below_it_nor_before_it_is_verified(
    harness: PeopleHarness,
) -> None:
    harness.add_claim("wide", "eu.wide.example", wildcard=True)
    for status in ("pending", "pending_conflict", "revoked"):
        harness.add_claim("early", f"{status.replace('_', '-')}.example", status=status)
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
            assert not await suggested(harness, f"x@{domain}"), domain
            harness.add_user(f"x@{domain}")
            rejected = await harness.reason(user(f"x@{domain}"), "CreateJoinRequest", pb.CreateJoinRequestRequest())
            assert rejected == NOT_AVAILABLE


async def test_whoever_has_the_nearest_right_to_a_name_is_asked(harness: PeopleHarness) -> None:
    harness.add_claim("group", "group.example", wildcard=True, proof=delegating(("shop.group.example", "shop")))
    harness.add_claim("deep", "deep.group.example", wildcard=True)
    harness.add_claim("exact", "www.deep.group.example")
    harness.add_claim("plain", "plain.example", proof=delegating(("sub.plain.example", "shop")))
    for domain, org in (
        ("group.example", "group"),
        ("shop.group.example", "shop"),
        ("till.shop.group.example", "group"),
        ("a.deep.group.example", "deep"),
        ("www.deep.group.example", "exact"),
        ("sub.plain.example", "shop"),
    ):
        harness.add_user(f"p@{domain}")
        request_id = await ask(harness, f"p@{domain}")
        assert harness.rows("SELECT org_id::text FROM join_request WHERE request_id = %s", request_id) == [
            (org_id(org),)
        ], domain


async def test_what_is_answered_says_nothing_of_members_nor_of_how_many_there_are(harness: PeopleHarness) -> None:
    """The same two calls before and after the company has grown; the answers have no field to say more in."""
    assert [field.name for field in pb.SuggestOrgResponse.DESCRIPTOR.fields] == ["may_ask_to_join"]
    assert [field.name for field in pb.CreateJoinRequestResponse.DESCRIPTOR.fields] == ["join_request_id", "state"]
    answers = []
    for round_of_calls in range(2):
        asker = harness.add_user(f"asker{round_of_calls}@acme.example")
        hints = [
            (await harness.call(SIGN_UP_PAGE, "SuggestOrg", pb.SuggestOrgRequest(email=email))).SerializeToString()
            # A stranger, the Owner, somebody who is invited, and somebody who has asked.
            for email in ("nobody@acme.example", ANN, "invited@acme.example", "asker0@acme.example")
        ]
        made = await harness.call(asker, "CreateJoinRequest", pb.CreateJoinRequestRequest())
        known = made.SerializeToString().replace(made.join_request_id.encode(), b"")
        answers.append((set(hints), known))
        for n in range(20):
            harness.add_member("acme", f"member{round_of_calls}-{n}@acme.example", "User")
        await harness.invite(user(ANN), "acme", f"invited{round_of_calls}@acme.example")
    assert answers[0] == answers[1]
    assert len(answers[0][0]) == 1
    for secret in (org_id("acme"), ANN, user_id(ANN), "acme"):
        assert secret.encode() not in b"".join([*answers[0][0], answers[0][1]])


async def test_the_rejections_of_asking_name_nobody(harness: PeopleHarness) -> None:
    harness.add_user("out@elsewhere.example")
    harness.add_user(BEA)
    await ask(harness, BEA)
    for email in ("out@elsewhere.example", BEA, ANN):
        rejected = await harness.rejected(user(email), "CreateJoinRequest", pb.CreateJoinRequestRequest())
        said = f"{rejected.message} {rejected.metadata}"
        assert not any(name in said for name in ("acme", org_id("acme"), ANN, user_id(ANN), "1", "2"))


async def test_who_has_asked_or_belongs_already_is_told_so(harness: PeopleHarness) -> None:
    harness.add_user(BEA)
    await ask(harness, BEA)
    again = await harness.reason(user(BEA), "CreateJoinRequest", pb.CreateJoinRequestRequest())
    assert again == ("ALREADY_EXISTS", "JOIN_REQUEST_EXISTS")
    member = await harness.reason(user(ANN), "CreateJoinRequest", pb.CreateJoinRequestRequest())
    assert member == ("ALREADY_EXISTS", "MEMBER_EXISTS")
    for nobody in (SIGN_UP_PAGE, user("gone@acme.example")):
        assert await harness.reason(nobody, "CreateJoinRequest", pb.CreateJoinRequestRequest()) == NOT_AVAILABLE


async def test_an_admin_approves_and_the_person_is_a_user_audited_and_published(harness: PeopleHarness) -> None:
    cat = harness.add_member("acme", "cat@acme.example", "Admin")
    harness.add_user(BEA)
    request_id = await ask(harness, BEA)
    answer = await harness.call(cat, "DecideJoinRequest", decision(request_id, approve=True))
    assert (answer.join_request.state, answer.join_request.email) == (pb.JOIN_REQUEST_STATE_APPROVED, BEA)
    assert answer.join_request.decided_by == cat.subject
    assert harness.roles("acme")[BEA] == "User"
    assert harness.audited() == ["join_request.create", "join_request.approve", "membership.create"]
    assert harness.rows("SELECT subject FROM outbox") == [("events.identity.membership.created",)]
    assert harness.rows("SELECT actor FROM audit_entry WHERE action = 'join_request.approve'") == [(cat.subject,)]
    again = await harness.reason(user(ANN), "DecideJoinRequest", decision(request_id, approve=False))
    assert again == ("FAILED_PRECONDITION", "JOIN_REQUEST_DECIDED")


async def test_a_denied_person_is_no_member_and_may_ask_again(harness: PeopleHarness) -> None:
    harness.add_user(BEA)
    request_id = await ask(harness, BEA)
    answer = await harness.call(user(ANN), "DecideJoinRequest", decision(request_id, approve=False))
    assert answer.join_request.state == pb.JOIN_REQUEST_STATE_DENIED
    assert (harness.audited()[-1], BEA in harness.roles("acme")) == ("join_request.deny", False)
    assert await ask(harness, BEA) != request_id


async def test_a_request_by_address_alone_makes_its_user_when_it_is_approved(harness: PeopleHarness) -> None:
    request_id = user_id("the request")
    harness.write(
        "INSERT INTO join_request (request_id, org_id, email, state, created_at)"
        " VALUES (%s, %s, 'Old@Acme.example', 'pending', now())",
        request_id,
        org_id("acme"),
    )
    await harness.call(user(ANN), "DecideJoinRequest", decision(request_id, approve=True))
    assert harness.roles("acme")["old@acme.example"] == "User"
    assert harness.audited("app_user.create") == ["app_user.create"]


async def test_only_admins_of_the_organisation_decide_and_see_requests(harness: PeopleHarness) -> None:
    harness.add_user(BEA)
    request_id = await ask(harness, BEA)
    harness.add_member("acme", "dan@acme.example", "User")
    harness.add_member("other", "eve@other.example", "Owner")
    for outsider in (user("dan@acme.example"), user("eve@other.example"), user(BEA)):
        rejected = await harness.reason(outsider, "DecideJoinRequest", decision(request_id, approve=True))
        assert rejected == ("PERMISSION_DENIED", "ROLE_REQUIRED")
        listing = pb.ListJoinRequestsRequest(org_id=org_id("acme"))
        assert (await harness.rejected(outsider, "ListJoinRequests", listing)).reason == "ROLE_REQUIRED"
    foreign = decision(request_id, approve=True, org="other")
    rejected = await harness.reason(user("eve@other.example"), "DecideJoinRequest", foreign)
    assert rejected == ("NOT_FOUND", "JOIN_REQUEST_NOT_FOUND")


async def test_requests_are_listed_newest_first_by_pages(harness: PeopleHarness) -> None:
    made = []
    for n in range(5):
        harness.pass_time(minutes=1)
        harness.add_user(f"p{n}@acme.example")
        made.append(await ask(harness, f"p{n}@acme.example"))
    await harness.call(user(ANN), "DecideJoinRequest", decision(made[3], approve=False))
    request = pb.ListJoinRequestsRequest(org_id=org_id("acme"), page_size=3)
    first = await harness.call(user(ANN), "ListJoinRequests", request)
    request.page_token = first.next_page_token
    second = await harness.call(user(ANN), "ListJoinRequests", request)
    listed = [one.join_request_id for one in (*first.join_requests, *second.join_requests)]
    assert (listed, second.next_page_token) == (made[::-1], "")
    pending = pb.ListJoinRequestsRequest(org_id=org_id("acme"), pending_only=True)
    found = (await harness.call(user(ANN), "ListJoinRequests", pending)).join_requests
    assert [one.join_request_id for one in found] == [made[n] for n in (4, 2, 1, 0)]


async def test_who_asks_or_looks_too_often_is_slowed_down(harness: PeopleHarness) -> None:
    rpcs, bea = harness.process(rate=2), harness.add_user("bea@elsewhere.example")
    for _ in range(2):
        rejected = await harness.rejected(bea, "CreateJoinRequest", pb.CreateJoinRequestRequest(), parts=rpcs)
        assert rejected.reason == "JOIN_NOT_AVAILABLE"
        await harness.call(SIGN_UP_PAGE, "SuggestOrg", pb.SuggestOrgRequest(email=BEA), parts=rpcs)
    slowed = await harness.rejected(bea, "CreateJoinRequest", pb.CreateJoinRequestRequest(), parts=rpcs)
    assert (slowed.code, slowed.reason) == ("RESOURCE_EXHAUSTED", "JOIN_RATE_LIMITED")
    slowed = await harness.rejected(SIGN_UP_PAGE, "SuggestOrg", pb.SuggestOrgRequest(email=BEA), parts=rpcs)
    assert (slowed.code, slowed.reason) == ("RESOURCE_EXHAUSTED", "SUGGESTION_RATE_LIMITED")


async def test_a_suggestion_for_what_is_no_address_is_rejected(harness: PeopleHarness) -> None:
    rejected = await harness.reason(SIGN_UP_PAGE, "SuggestOrg", pb.SuggestOrgRequest(email="acme.example"))
    assert rejected == ("INVALID_ARGUMENT", "EMAIL_MALFORMED")
