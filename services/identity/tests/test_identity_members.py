"""Members and their roles: who may do what to whom, and the last Owner stays (spec 01, data)."""

from __future__ import annotations

from typing import Any

import pytest
from apportion.common.v1.event_pb2 import EventEnvelope
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_dev.testing.plugin import MakeServiceDatabase
from identity_harness import OPERATOR, org_id, user_id
from people_harness import SIGN_UP_PAGE, PeopleHarness, user

ANN, BEA, CAT, DAN = (f"{name}@acme.example" for name in ("ann", "bea", "cat", "dan"))
OWNER, ADMIN, USER = pb.MEMBER_ROLE_OWNER, pb.MEMBER_ROLE_ADMIN, pb.MEMBER_ROLE_USER


@pytest.fixture
def harness(service_database: MakeServiceDatabase) -> PeopleHarness:
    """acme with two Owners, an Admin and a User; other with an Owner."""
    made = PeopleHarness(service_database("identity"))
    for email, role in ((ANN, "Owner"), (BEA, "Owner"), (CAT, "Admin"), (DAN, "User")):
        made.add_member("acme", email, role)
    made.add_member("other", "eve@other.example", "Owner")
    return made


def promotion(email: str, role: pb.MemberRole) -> pb.SetMemberRoleRequest:
    return pb.SetMemberRoleRequest(org_id=org_id("acme"), user_id=user_id(email), role=role)


def removal(email: str) -> pb.RemoveMemberRequest:
    return pb.RemoveMemberRequest(org_id=org_id("acme"), user_id=user_id(email))


def published(harness: PeopleHarness) -> list[tuple[str, pb.MembershipChanged]]:
    found = []
    for (payload,) in harness.rows("SELECT payload FROM outbox ORDER BY created_at"):
        envelope, change = EventEnvelope.FromString(bytes(payload)), pb.MembershipChanged()
        assert envelope.payload.Unpack(change)
        found.append((envelope.type, change))
    return found


async def test_a_role_is_changed_audited_with_before_and_after_and_published(harness: PeopleHarness) -> None:
    answer = await harness.call(user(CAT), "SetMemberRole", promotion(DAN, ADMIN))
    assert (answer.member.role, answer.member.email) == (ADMIN, DAN)
    assert harness.roles("acme")[DAN] == "Admin"
    assert harness.rows("SELECT action, actor, org_id::text, before, after FROM audit_entry") == [
        ("membership.change", f"user:{user_id(CAT)}", org_id("acme"), {"role": "User"}, {"role": "Admin"})
    ]
    ((event, change),) = published(harness)
    assert (event, change.user_id, change.role) == ("identity.membership.changed", user_id(DAN), ADMIN)


async def test_a_role_that_stays_is_neither_audited_nor_published(harness: PeopleHarness) -> None:
    await harness.call(user(ANN), "SetMemberRole", promotion(DAN, USER))
    assert (harness.audited(), published(harness)) == ([], [])


@pytest.mark.parametrize("email", [ANN, CAT])
async def test_nobody_changes_their_own_role(harness: PeopleHarness, email: str) -> None:
    for role in (OWNER, ADMIN, USER):
        rejected = await harness.reason(user(email), "SetMemberRole", promotion(email, role))
        assert rejected == ("PERMISSION_DENIED", "OWN_ROLE")


async def test_only_an_owner_makes_or_unmakes_an_owner(harness: PeopleHarness) -> None:
    for caller in (user(CAT), SIGN_UP_PAGE):
        for request in (promotion(DAN, OWNER), promotion(BEA, USER)):
            assert await harness.reason(caller, "SetMemberRole", request) == ("PERMISSION_DENIED", "OWNER_REQUIRED")
        assert await harness.reason(caller, "RemoveMember", removal(BEA)) == ("PERMISSION_DENIED", "OWNER_REQUIRED")
    await harness.call(user(ANN), "SetMemberRole", promotion(DAN, OWNER))
    await harness.call(user(ANN), "SetMemberRole", promotion(BEA, USER))
    await harness.call(OPERATOR, "SetMemberRole", promotion(CAT, OWNER))
    assert harness.roles("acme") == {ANN: "Owner", BEA: "User", CAT: "Owner", DAN: "Owner"}


async def test_a_user_and_a_stranger_change_nobody(harness: PeopleHarness) -> None:
    for caller in (user(DAN), user("eve@other.example"), user("gone@acme.example")):
        for method, request in (("SetMemberRole", promotion(CAT, USER)), ("RemoveMember", removal(CAT))):
            assert await harness.reason(caller, method, request) == ("PERMISSION_DENIED", "ROLE_REQUIRED")


async def test_the_last_owner_is_neither_removed_nor_demoted_by_anybody(harness: PeopleHarness) -> None:
    await harness.call(user(ANN), "RemoveMember", removal(BEA))
    last = ("FAILED_PRECONDITION", "LAST_OWNER")
    assert await harness.reason(user(ANN), "RemoveMember", removal(ANN)) == last
    assert await harness.reason(OPERATOR, "RemoveMember", removal(ANN)) == last
    assert await harness.reason(OPERATOR, "SetMemberRole", promotion(ANN, ADMIN)) == last
    assert harness.roles("acme")[ANN] == "Owner"


async def test_a_pending_owner_is_not_counted_as_one_who_stays(harness: PeopleHarness) -> None:
    harness.add_member("acme", "fay@acme.example", "Owner", status="pending")
    await harness.call(user(ANN), "RemoveMember", removal(BEA))
    assert (await harness.rejected(user(ANN), "RemoveMember", removal(ANN))).reason == "LAST_OWNER"


async def test_everybody_may_leave_and_is_published_as_gone(harness: PeopleHarness) -> None:
    await harness.call(user(ANN), "SetMemberRole", promotion(DAN, ADMIN))
    for email in (DAN, CAT, BEA):
        await harness.call(user(email), "RemoveMember", removal(email))
    assert harness.roles("acme") == {ANN: "Owner"}
    event, change = published(harness)[-1]
    assert (event, change.user_id, change.role) == ("identity.membership.removed", user_id(BEA), 0)
    assert (await harness.rejected(user(DAN), "RemoveMember", removal(DAN))).reason == "ROLE_REQUIRED"


async def test_who_is_removed_acts_there_no_more_whatever_their_token_says(harness: PeopleHarness) -> None:
    harness.write("UPDATE app_user SET default_org_id = %s WHERE email = %s", org_id("acme"), CAT)
    await harness.call(user(ANN), "RemoveMember", removal(CAT))
    listing = pb.ListMembersRequest(org_id=org_id("acme"))
    for method, request in (("ListMembers", listing), ("SetMemberRole", promotion(DAN, ADMIN))):
        assert (await harness.rejected(user(CAT), method, request)).reason == "ROLE_REQUIRED"
    assert harness.rows("SELECT default_org_id FROM app_user WHERE email = %s", CAT) == [(None,)]


async def test_who_is_no_member_is_not_found(harness: PeopleHarness) -> None:
    missing: tuple[tuple[str, Any], ...] = (
        ("SetMemberRole", promotion("eve@other.example", ADMIN)),
        ("RemoveMember", removal("eve@other.example")),
    )
    for method, request in missing:
        assert await harness.reason(user(ANN), method, request) == ("NOT_FOUND", "MEMBER_NOT_FOUND")


async def test_members_are_listed_by_pages_for_members_only(harness: PeopleHarness) -> None:
    harness.add_member("acme", "fay@acme.example", "User", status="pending")
    request = pb.ListMembersRequest(org_id=org_id("acme"), page_size=3)
    first = await harness.call(user(DAN), "ListMembers", request)
    request.page_token = first.next_page_token
    second = await harness.call(user(DAN), "ListMembers", request)
    listed = [*first.members, *second.members]
    assert (len(first.members), second.next_page_token) == (3, "")
    assert sorted(member.email for member in listed) == [ANN, BEA, CAT, DAN]
    assert {member.email: member.role for member in listed}[CAT] == ADMIN
    assert (await harness.rejected(user("eve@other.example"), "ListMembers", request)).reason == "ROLE_REQUIRED"
    request.page_token = "WyJub25zZW5zZSJd"
    assert (await harness.rejected(user(DAN), "ListMembers", request)).reason == "PAGE_TOKEN_MALFORMED"
