"""Inviting people and accepting: who may, once per address, for a while, so many a day (spec 01, invitations)."""

from __future__ import annotations

import base64
import hashlib

import pytest
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_dev.testing.plugin import MakeServiceDatabase
from identity_harness import OPERATOR, org_id, user_id
from people_harness import SIGN_UP_PAGE, PeopleHarness, invitation, user

ANN, BEA, CAT = "ann@acme.example", "bea@acme.example", "cat@acme.example"
EXPIRED = ("FAILED_PRECONDITION", "INVITATION_EXPIRED")
CONSUMED = ("FAILED_PRECONDITION", "INVITATION_CONSUMED")
REVOKED = ("FAILED_PRECONDITION", "INVITATION_REVOKED")
FOREIGN = ("PERMISSION_DENIED", "INVITATION_FOREIGN")
UNKNOWN = ("NOT_FOUND", "INVITATION_NOT_FOUND")


@pytest.fixture
def harness(service_database: MakeServiceDatabase) -> PeopleHarness:
    made = PeopleHarness(service_database("identity"))
    made.add_member("acme", ANN, "Owner")
    return made


def acceptance(token: str) -> pb.AcceptInvitationRequest:
    return pb.AcceptInvitationRequest(token=token)


async def test_an_invited_person_becomes_a_member_with_the_role_they_were_invited_with(harness: PeopleHarness) -> None:
    made = await harness.invite(user(ANN), "acme", "Bea@ACME.example", pb.MEMBER_ROLE_ADMIN)
    assert (made.invitation.email, made.invitation.state) == (BEA, pb.INVITATION_STATE_LIVE)
    assert (made.invitation.invited_by, made.invitation.org_id) == (user_id(ANN), org_id("acme"))
    member = await harness.accept(harness.add_user(BEA), made.token)
    assert (member.org_id, member.user_id, member.role) == (org_id("acme"), user_id(BEA), pb.MEMBER_ROLE_ADMIN)
    assert harness.roles("acme") == {ANN: "Owner", BEA: "Admin"}
    assert harness.audited() == ["invitation.create", "invitation.accept", "membership.create"]
    assert harness.rows("SELECT subject FROM outbox") == [("events.identity.membership.created",)]
    assert harness.rows("SELECT default_org_id::text FROM app_user WHERE email = %s", BEA) == [(org_id("acme"),)]


async def test_a_token_has_256_bits_and_only_its_hash_is_kept(harness: PeopleHarness) -> None:
    tokens = [(await harness.invite(user(ANN), "acme", f"p{n}@acme.example")).token for n in range(5)]
    for token in tokens:
        assert token.startswith("inv_")
        assert len(base64.urlsafe_b64decode(token.removeprefix("inv_") + "=")) == 32
    assert len(set(tokens)) == 5
    kept = {bytes(digest) for (digest,) in harness.rows("SELECT token_hash FROM invitation")}
    assert kept == {hashlib.sha256(token.encode()).digest() for token in tokens}


async def test_a_token_is_given_once_and_stands_in_clear_nowhere(
    harness: PeopleHarness, caplog: pytest.LogCaptureFixture
) -> None:
    request = invitation("acme", BEA)
    first = await harness.call(user(ANN), "CreateInvitation", request)
    again = await harness.call(user(ANN), "CreateInvitation", request)
    assert (again.invitation, again.token) == (first.invitation, "")
    assert harness.rows("SELECT count(*) FROM invitation") == [(1,)]
    tables = [name for (name,) in harness.rows("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")]
    assert {"request_record", "audit_entry", "outbox", "invitation"} <= set(tables)
    secret = first.token.removeprefix("inv_")
    hexadecimal = secret.encode().hex()
    for table in tables:
        for (row,) in harness.rows(f'SELECT "{table}"::text FROM "{table}"'):
            assert secret not in row, table
            assert hexadecimal not in row, table
    assert secret not in caplog.text
    await harness.accept(harness.add_user(BEA), first.token)


async def test_a_second_live_invitation_in_any_letter_case_is_rejected(harness: PeopleHarness) -> None:
    await harness.invite(user(ANN), "acme", BEA)
    for spelling in (BEA, "BEA@acme.example", "bea@ACME.Example.", " bea@acme.example "):
        rejected = await harness.reason(user(ANN), "CreateInvitation", invitation("acme", spelling))
        assert rejected == ("ALREADY_EXISTS", "INVITATION_EXISTS")
    await harness.invite(user(ANN), "acme", "bea+work@acme.example")
    harness.add_member("other", CAT, "Owner")
    await harness.invite(user(CAT), "other", BEA)


async def test_an_expired_invitation_does_not_keep_a_person_from_being_invited_again(harness: PeopleHarness) -> None:
    first = await harness.invite(user(ANN), "acme", BEA)
    harness.pass_time(hours=48)
    second = await harness.invite(user(ANN), "acme", "BEA@acme.example")
    assert harness.audited() == ["invitation.create", "invitation.revoke", "invitation.create"]
    assert await harness.reason(harness.add_user(BEA), "AcceptInvitation", acceptance(first.token)) == REVOKED
    assert (await harness.accept(user(BEA), second.token)).role == pb.MEMBER_ROLE_USER


async def test_when_the_new_invitation_is_rejected_the_expired_one_stays_as_it_was(harness: PeopleHarness) -> None:
    await harness.invite(user(ANN), "acme", BEA)
    harness.pass_time(hours=48)
    await harness.set("invite_daily_limit", "0")
    assert (
        await harness.rejected(user(ANN), "CreateInvitation", invitation("acme", BEA))
    ).reason == "INVITE_DAILY_LIMIT"
    assert harness.rows("SELECT revoked_at FROM invitation") == [(None,)]
    assert harness.audited("invitation.revoke") == []


async def test_every_token_that_does_not_count_gets_its_own_answer(harness: PeopleHarness) -> None:
    bea, cat = harness.add_user(BEA), harness.add_user(CAT)
    consumed, revoked, expired, foreign = [
        await harness.invite(user(ANN), "acme", email)
        for email in (BEA, "cat@one.example", "cat@two.example", "cat@three.example")
    ]
    await harness.accept(bea, consumed.token)
    assert await harness.reason(bea, "AcceptInvitation", acceptance(consumed.token)) == CONSUMED
    taken_back = pb.RevokeInvitationRequest(org_id=org_id("acme"), invitation_id=revoked.invitation.invitation_id)
    await harness.call(user(ANN), "RevokeInvitation", taken_back)
    assert (
        await harness.reason(harness.add_user("cat@one.example"), "AcceptInvitation", acceptance(revoked.token))
        == REVOKED
    )
    for nobody in (cat, bea, OPERATOR, SIGN_UP_PAGE, user("gone@acme.example")):
        for made in (foreign, revoked):
            assert await harness.reason(nobody, "AcceptInvitation", acceptance(made.token)) == FOREIGN
    guesses = ("", "inv_", "x" * 200, foreign.token[:-1], foreign.token + "A", foreign.token.upper(), "inv_é\0")
    for guess in guesses:
        assert await harness.reason(cat, "AcceptInvitation", acceptance(guess)) == UNKNOWN
    harness.pass_time(hours=48)
    two = harness.add_user("cat@two.example")
    assert await harness.reason(two, "AcceptInvitation", acceptance(expired.token)) == EXPIRED
    assert harness.roles("acme") == {ANN: "Owner", BEA: "User"}


async def test_an_invitation_lives_up_to_its_last_instant(harness: PeopleHarness) -> None:
    made = await harness.invite(user(ANN), "acme", BEA)
    bea = harness.add_user(BEA)
    harness.pass_time(hours=47, minutes=59, seconds=59)
    assert (await harness.accept(bea, made.token)).user_id == user_id(BEA)


async def test_who_is_a_member_is_not_invited_and_keeps_their_role_when_they_accept_an_older_invitation(
    harness: PeopleHarness,
) -> None:
    made = await harness.invite(user(ANN), "acme", BEA)
    bea = harness.add_member("acme", BEA, "Admin")
    rejected = await harness.reason(user(ANN), "CreateInvitation", invitation("acme", "BEA@acme.example"))
    assert rejected == ("ALREADY_EXISTS", "MEMBER_EXISTS")
    assert (await harness.accept(bea, made.token)).role == pb.MEMBER_ROLE_ADMIN
    assert harness.audited("membership.create") == []


async def test_a_pending_member_becomes_an_active_one_by_an_invitation(harness: PeopleHarness) -> None:
    bea = harness.add_member("acme", BEA, "Owner", status="pending")
    made = await harness.invite(user(ANN), "acme", BEA)
    await harness.accept(bea, made.token)
    assert harness.roles("acme") == {ANN: "Owner", BEA: "User"}


@pytest.mark.parametrize(
    ("left", "standing"),
    [
        (pb.MEMBER_ROLE_OWNER, {"owner", "admin", "user"}),
        (pb.MEMBER_ROLE_ADMIN, {"admin", "user"}),
        (pb.MEMBER_ROLE_USER, set()),
        (None, set()),
    ],
)
async def test_what_a_member_invited_to_ends_with_the_role_that_allowed_it(
    harness: PeopleHarness, left: pb.MemberRole | None, standing: set[str]
) -> None:
    """Or who is about to lose a role would invite another address of theirs first."""
    bea = harness.add_member("acme", BEA, "Owner")
    roles = {"owner": pb.MEMBER_ROLE_OWNER, "admin": pb.MEMBER_ROLE_ADMIN, "user": pb.MEMBER_ROLE_USER}
    tokens = {
        name: (await harness.invite(bea, "acme", f"{name}@b.example", role)).token for name, role in roles.items()
    }
    harness.add_member("other", BEA, "Owner")
    elsewhere = await harness.invite(bea, "other", "owner@b.example", pb.MEMBER_ROLE_OWNER)
    by_ann = await harness.invite(user(ANN), "acme", CAT, pb.MEMBER_ROLE_OWNER)
    target = {"org_id": org_id("acme"), "user_id": user_id(BEA)}
    if left is None:
        await harness.call(user(ANN), "RemoveMember", pb.RemoveMemberRequest(**target))
    else:
        await harness.call(user(ANN), "SetMemberRole", pb.SetMemberRoleRequest(**target, role=left))
    assert len(harness.audited("invitation.revoke")) == 3 - len(standing)
    for name, token in tokens.items():
        invited = harness.add_user(f"{name}@b.example")
        if name in standing:
            assert (await harness.accept(invited, token)).role == roles[name]
        else:
            assert await harness.reason(invited, "AcceptInvitation", acceptance(token)) == REVOKED
            await harness.invite(user(ANN), "acme", f"{name}@b.example")
    await harness.accept(user("owner@b.example"), elsewhere.token)
    await harness.accept(harness.add_user(CAT), by_ann.token)


async def test_who_leaves_takes_back_what_they_invited_to(harness: PeopleHarness) -> None:
    bea = harness.add_member("acme", BEA, "Admin")
    made = await harness.invite(bea, "acme", CAT, pb.MEMBER_ROLE_ADMIN)
    await harness.call(bea, "RemoveMember", pb.RemoveMemberRequest(org_id=org_id("acme"), user_id=user_id(BEA)))
    assert await harness.reason(harness.add_user(CAT), "AcceptInvitation", acceptance(made.token)) == REVOKED


async def test_only_an_owner_or_an_operator_invites_an_owner_and_a_user_invites_nobody(harness: PeopleHarness) -> None:
    harness.add_member("acme", BEA, "Admin")
    harness.add_member("acme", CAT, "User")
    harness.add_member("other", "dan@other.example", "Owner")
    harness.add_member("acme", "eve@acme.example", "Owner", status="pending")
    owner, user_role = pb.MEMBER_ROLE_OWNER, pb.MEMBER_ROLE_USER
    for caller, role, reason in (
        (user(BEA), owner, "OWNER_REQUIRED"),
        (SIGN_UP_PAGE, owner, "OWNER_REQUIRED"),
        (user(CAT), user_role, "ROLE_REQUIRED"),
        (user("dan@other.example"), user_role, "ROLE_REQUIRED"),
        (user("eve@acme.example"), user_role, "ROLE_REQUIRED"),
        (user("gone@acme.example"), user_role, "ROLE_REQUIRED"),
    ):
        rejected = await harness.reason(caller, "CreateInvitation", invitation("acme", "new@acme.example", role))
        assert rejected == ("PERMISSION_DENIED", reason)
    await harness.invite(user(BEA), "acme", "one@acme.example", pb.MEMBER_ROLE_ADMIN)
    await harness.invite(user(ANN), "acme", "two@acme.example", owner)
    made = await harness.invite(OPERATOR, "acme", "three@acme.example", owner)
    assert made.invitation.invited_by == ""


async def test_an_address_that_is_none_is_rejected(harness: PeopleHarness) -> None:
    for wrong in (
        "ann",
        "@acme.example",
        "ann@",
        "a b@acme.example",
        "ann@127.0.0.1",
        "ann@localhost",
        "a@b@c.example",
    ):
        rejected = await harness.reason(user(ANN), "CreateInvitation", invitation("acme", wrong))
        assert rejected == ("INVALID_ARGUMENT", "EMAIL_MALFORMED")


async def test_beyond_the_daily_limit_the_caller_is_told_to_wait_for_the_next_utc_day(harness: PeopleHarness) -> None:
    await harness.set("invite_daily_limit", "2")
    for name in ("one", "two"):
        await harness.invite(user(ANN), "acme", f"{name}@acme.example")
    rejected = await harness.rejected(user(ANN), "CreateInvitation", invitation("acme", "three@acme.example"))
    assert (rejected.code, rejected.reason) == ("RESOURCE_EXHAUSTED", "INVITE_DAILY_LIMIT")
    assert rejected.retry_after_s == 12 * 60 * 60
    harness.add_member("other", CAT, "Owner")
    await harness.invite(user(CAT), "other", "three@acme.example")
    harness.pass_time(hours=11, minutes=59, seconds=59.5)
    late = await harness.rejected(user(ANN), "CreateInvitation", invitation("acme", "three@acme.example"))
    assert late.retry_after_s == 1
    harness.pass_time(seconds=late.retry_after_s)
    await harness.invite(user(ANN), "acme", "three@acme.example")


async def test_the_settings_for_invitations_act_at_once(harness: PeopleHarness) -> None:
    await harness.invite(user(ANN), "acme", BEA)
    await harness.set("invite_token_ttl_hours", "1")
    made = await harness.invite(user(ANN), "acme", CAT)
    lifetime_s = made.invitation.expires_at.seconds - made.invitation.created_at.seconds
    assert lifetime_s == 60 * 60
    await harness.set("invite_daily_limit", "2")
    assert (await harness.rejected(user(ANN), "CreateInvitation", invitation("acme", "d@a.example"))).reason == (
        "INVITE_DAILY_LIMIT"
    )
    await harness.set("invite_daily_limit", "3")
    await harness.invite(user(ANN), "acme", "d@a.example")


async def test_an_invitation_is_revoked_once_and_never_after_it_was_accepted(harness: PeopleHarness) -> None:
    made = await harness.invite(user(ANN), "acme", BEA)
    revoke = pb.RevokeInvitationRequest(org_id=org_id("acme"), invitation_id=made.invitation.invitation_id)
    answer = await harness.call(user(ANN), "RevokeInvitation", revoke)
    assert answer.invitation.state == pb.INVITATION_STATE_REVOKED
    revoke.request_id = "another call"
    again = await harness.call(user(ANN), "RevokeInvitation", revoke)
    assert again.invitation == answer.invitation
    assert harness.audited("invitation.revoke") == ["invitation.revoke"]
    second = await harness.invite(user(ANN), "acme", BEA)
    await harness.accept(harness.add_user(BEA), second.token)
    too_late = pb.RevokeInvitationRequest(org_id=org_id("acme"), invitation_id=second.invitation.invitation_id)
    assert await harness.reason(user(ANN), "RevokeInvitation", too_late) == CONSUMED


async def test_another_organisations_invitation_is_not_found(harness: PeopleHarness) -> None:
    made = await harness.invite(user(ANN), "acme", BEA)
    harness.add_member("other", CAT, "Owner")
    revoke = pb.RevokeInvitationRequest(org_id=org_id("other"), invitation_id=made.invitation.invitation_id)
    assert await harness.reason(user(CAT), "RevokeInvitation", revoke) == UNKNOWN
    revoke.org_id = org_id("acme")
    assert await harness.reason(user(CAT), "RevokeInvitation", revoke) == ("PERMISSION_DENIED", "ROLE_REQUIRED")


async def test_invitations_are_listed_newest_first_by_pages_and_without_tokens(harness: PeopleHarness) -> None:
    made = []
    for n in range(5):
        harness.pass_time(minutes=1)
        made.append((await harness.invite(user(ANN), "acme", f"p{n}@acme.example")).invitation.invitation_id)
    request = pb.ListInvitationsRequest(org_id=org_id("acme"), page_size=2)
    seen = []
    while True:
        page = await harness.call(user(ANN), "ListInvitations", request)
        assert len(page.invitations) <= 2
        seen += [one.invitation_id for one in page.invitations]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == made[::-1]
    harness.pass_time(hours=48, minutes=-3)
    live = pb.ListInvitationsRequest(org_id=org_id("acme"), live_only=True)
    found = (await harness.call(user(ANN), "ListInvitations", live)).invitations
    assert [one.invitation_id for one in found] == made[:1:-1]
    everything = pb.ListInvitationsRequest(org_id=org_id("acme"))
    states = [one.state for one in (await harness.call(OPERATOR, "ListInvitations", everything)).invitations]
    assert states == [pb.INVITATION_STATE_LIVE] * 3 + [pb.INVITATION_STATE_EXPIRED] * 2
    request.page_token = "bm9uc2Vuc2U="
    assert (await harness.rejected(user(ANN), "ListInvitations", request)).reason == "PAGE_TOKEN_MALFORMED"
    harness.add_member("acme", CAT, "User")
    assert (await harness.rejected(user(CAT), "ListInvitations", live)).reason == "ROLE_REQUIRED"


async def test_who_tries_many_tokens_is_slowed_down(harness: PeopleHarness) -> None:
    rpcs, bea = harness.process(rate=3), harness.add_user(BEA)
    for guess in range(3):
        rejected = await harness.rejected(bea, "AcceptInvitation", acceptance(f"inv_{guess}"), parts=rpcs)
        assert rejected.reason == "INVITATION_NOT_FOUND"
    rejected = await harness.rejected(bea, "AcceptInvitation", acceptance("inv_4"), parts=rpcs)
    assert (rejected.code, rejected.reason) == ("RESOURCE_EXHAUSTED", "INVITATION_RATE_LIMITED")
    assert rejected.retry_after_s == 10
    other = await harness.rejected(harness.add_user(CAT), "AcceptInvitation", acceptance("inv_4"), parts=rpcs)
    assert other.reason == "INVITATION_NOT_FOUND"
