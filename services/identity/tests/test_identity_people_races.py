"""People at the same time, on real PostgreSQL: what is to happen once happens once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any
from uuid import UUID

import pytest_asyncio
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.db.engine import make_engine
from apportion_common.errors import ApportionError
from apportion_dev.testing.locks import until_it_waits
from apportion_dev.testing.plugin import MakeServiceDatabase
from apportion_identity.store.members import MemberStore
from identity_harness import NOON, OPERATOR, org_id, user_id
from people_harness import PeopleHarness, invitation, user

ANN = "ann@acme.example"
CONNECTIONS = 30
"""Transactions that are really under way at the same time: more than any limit that is raced for."""


@pytest_asyncio.fixture(loop_scope="session")
async def harness(service_database: MakeServiceDatabase) -> AsyncIterator[PeopleHarness]:
    place = service_database("identity")
    engine = make_engine(place.app_url, "racers", CONNECTIONS)
    made = PeopleHarness(place, engine)
    made.add_member("acme", ANN, "Owner")
    yield made
    await engine.dispose()


async def outcomes(calls: Sequence[Coroutine[Any, Any, Any]]) -> Counter[str]:
    """How often racing calls succeeded ("done") or were rejected, by reason; anything else is an error."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, ApportionError):
            raise result
    return Counter(result.reason if isinstance(result, ApportionError) else "done" for result in results)


async def test_of_fifty_who_create_one_invitation_one_does(harness: PeopleHarness) -> None:
    spellings = ("bea@acme.example", "BEA@ACME.example", "Bea@Acme.Example")
    calls = [harness.call(user(ANN), "CreateInvitation", invitation("acme", spellings[n % 3])) for n in range(50)]
    assert await outcomes(calls) == {"done": 1, "INVITATION_EXISTS": 49}
    assert harness.rows("SELECT count(*) FROM invitation WHERE revoked_at IS NULL") == [(1,)]
    assert harness.rows("SELECT invited FROM invitation_day") == [(1,)]
    assert harness.audited() == ["invitation.create"]


async def test_of_fifty_who_replace_an_expired_invitation_one_does(harness: PeopleHarness) -> None:
    await harness.invite(user(ANN), "acme", "bea@acme.example")
    harness.pass_time(hours=48)
    calls = [harness.call(user(ANN), "CreateInvitation", invitation("acme", "bea@acme.example")) for _ in range(50)]
    assert await outcomes(calls) == {"done": 1, "INVITATION_EXISTS": 49}
    assert harness.audited("invitation.revoke") == ["invitation.revoke"]


async def test_of_fifty_invitations_at_a_daily_limit_of_ten_exactly_ten_are_made(harness: PeopleHarness) -> None:
    await harness.set("invite_daily_limit", "10")
    calls = [harness.call(user(ANN), "CreateInvitation", invitation("acme", f"p{n}@acme.example")) for n in range(50)]
    assert await outcomes(calls) == {"done": 10, "INVITE_DAILY_LIMIT": 40}
    assert harness.rows("SELECT count(*) FROM invitation") == [(10,)]
    assert harness.rows("SELECT org_id::text, day, invited FROM invitation_day") == [(org_id("acme"), NOON.date(), 10)]


async def test_of_twenty_who_accept_with_one_token_one_does(harness: PeopleHarness) -> None:
    token = (await harness.invite(user(ANN), "acme", "bea@acme.example")).token
    bea = harness.add_user("bea@acme.example")
    calls = [harness.call(bea, "AcceptInvitation", pb.AcceptInvitationRequest(token=token)) for _ in range(20)]
    assert await outcomes(calls) == {"done": 1, "INVITATION_CONSUMED": 19}
    assert harness.audited("membership.create") == ["membership.create"]


async def test_an_invitation_that_is_revoked_while_it_is_accepted_has_one_end(harness: PeopleHarness) -> None:
    for n in range(10):
        email = f"p{n}@acme.example"
        made = await harness.invite(user(ANN), "acme", email)
        accept = pb.AcceptInvitationRequest(token=made.token)
        revoke = pb.RevokeInvitationRequest(org_id=org_id("acme"), invitation_id=made.invitation.invitation_id)
        found = await outcomes(
            [
                harness.call(harness.add_user(email), "AcceptInvitation", accept),
                harness.call(user(ANN), "RevokeInvitation", revoke),
            ]
        )
        assert found in ({"done": 1, "INVITATION_REVOKED": 1}, {"done": 1, "INVITATION_CONSUMED": 1})
        assert (email in harness.roles("acme")) == (found["INVITATION_CONSUMED"] == 1)


async def test_who_is_removed_while_they_invite_leaves_no_invitation_behind(harness: PeopleHarness) -> None:
    for n in range(10):
        email = f"admin{n}@acme.example"
        admin = harness.add_member("acme", email, "Admin")
        invites = [harness.call(admin, "CreateInvitation", invitation("acme", f"i{n}-{m}@b.example")) for m in range(4)]
        found = await outcomes([*invites, harness.call(user(ANN), "RemoveMember", removal("acme", email))])
        assert found["done"] + found["ROLE_REQUIRED"] == 5
        assert harness.rows(
            "SELECT count(*) FROM invitation WHERE invited_by = %s AND revoked_at IS NULL", user_id(email)
        ) == [(0,)]


async def test_an_invitation_is_accepted_before_its_inviter_is_removed_or_not_at_all(harness: PeopleHarness) -> None:
    for n in range(10):
        inviter, invited = f"admin{n}@acme.example", f"invited{n}@b.example"
        made = await harness.invite(harness.add_member("acme", inviter, "Admin"), "acme", invited)
        accept = pb.AcceptInvitationRequest(token=made.token)
        found = await outcomes(
            [
                harness.call(harness.add_user(invited), "AcceptInvitation", accept),
                harness.call(user(ANN), "RemoveMember", removal("acme", inviter)),
            ]
        )
        assert found in ({"done": 2}, {"done": 1, "INVITATION_REVOKED": 1})
        assert (invited in harness.roles("acme")) == (found["done"] == 2)
        last = harness.rows(
            "SELECT action FROM audit_entry WHERE action LIKE 'membership.%%' ORDER BY at DESC, audit_id DESC LIMIT 1"
        )
        assert last == [("membership.remove",)]


async def test_when_two_owners_remove_each_other_one_stays(harness: PeopleHarness) -> None:
    for n in range(10):
        one, two = f"one{n}@acme.example", f"two{n}@acme.example"
        for email in (one, two):
            harness.add_member(f"org {n}", email, "Owner")
        found = await outcomes(
            [
                harness.call(user(actor), "RemoveMember", removal(f"org {n}", target))
                for actor, target in ((one, two), (two, one))
            ]
        )
        assert found == {"done": 1, "ROLE_REQUIRED": 1}
        assert list(harness.roles(f"org {n}").values()) == ["Owner"]


async def test_when_all_owners_leave_or_are_demoted_at_once_one_stays(harness: PeopleHarness) -> None:
    emails = [f"owner{n}@acme.example" for n in range(9)]
    for email in emails:
        harness.add_member("acme", email, "Owner")
    everybody = [ANN, *emails]
    leaving = [harness.call(user(email), "RemoveMember", removal("acme", email)) for email in everybody[:5]]
    demoting = [
        harness.call(
            OPERATOR,
            "SetMemberRole",
            pb.SetMemberRoleRequest(org_id=org_id("acme"), user_id=user_id(email), role=pb.MEMBER_ROLE_USER),
        )
        for email in everybody[5:]
    ]
    assert await outcomes([*leaving, *demoting]) == {"done": 9, "LAST_OWNER": 1}
    assert list(harness.roles("acme").values()).count("Owner") == 1


async def test_an_owner_who_is_demoted_meanwhile_makes_no_owner_any_more(harness: PeopleHarness) -> None:
    """Either the Owner was quicker, or is none any more: both have one order in which they happened."""
    for n in range(10):
        boss, friend = f"boss{n}@acme.example", f"friend{n}@acme.example"
        harness.add_member("acme", boss, "Owner")
        harness.add_member("acme", friend, "User")
        change = pb.SetMemberRoleRequest(org_id=org_id("acme"), user_id=user_id(friend), role=pb.MEMBER_ROLE_OWNER)
        demote = pb.SetMemberRoleRequest(org_id=org_id("acme"), user_id=user_id(boss), role=pb.MEMBER_ROLE_USER)
        found = await outcomes(
            [harness.call(user(ANN), "SetMemberRole", demote), harness.call(user(boss), "SetMemberRole", change)]
        )
        last = harness.rows("SELECT actor FROM audit_entry WHERE action = 'membership.change' ORDER BY at DESC LIMIT 1")
        assert found in ({"done": 2}, {"done": 1, "ROLE_REQUIRED": 1})
        assert last == [(user(ANN).subject,)]


async def test_of_twenty_join_requests_of_one_person_one_is_made_and_one_decision_counts(
    harness: PeopleHarness,
) -> None:
    harness.add_claim("acme", "acme.example")
    bea = harness.add_user("bea@acme.example")
    calls = [harness.call(bea, "CreateJoinRequest", pb.CreateJoinRequestRequest()) for _ in range(20)]
    assert await outcomes(calls) == {"done": 1, "JOIN_REQUEST_EXISTS": 19}
    ((request_id,),) = harness.rows("SELECT request_id::text FROM join_request")
    decisions = [
        harness.call(
            user(ANN),
            "DecideJoinRequest",
            pb.DecideJoinRequestRequest(org_id=org_id("acme"), join_request_id=request_id, approve=n % 2 == 0),
        )
        for n in range(10)
    ]
    assert await outcomes(decisions) == {"done": 1, "JOIN_REQUEST_DECIDED": 9}


async def test_of_twenty_first_sign_ins_of_one_person_one_makes_the_user_and_all_get_it(harness: PeopleHarness) -> None:
    async def sign_in() -> str:
        found = await harness.database.run(
            lambda tx: harness.users.of_login(tx, "https://issuer.example", "subject-1", "bea@acme.example")
        )
        return str(found.user_id)

    found = await asyncio.gather(*(sign_in() for _ in range(20)))
    assert len(set(found)) == 1
    assert harness.audited() == ["app_user.create", "user_login.create"]


async def test_two_accounts_of_one_issuer_that_race_for_an_address_do_not_share_a_user(harness: PeopleHarness) -> None:
    harness.add_user("bea@acme.example")

    async def sign_in(subject: str) -> str:
        found = await harness.database.run(
            lambda tx: harness.users.of_login(tx, "https://issuer.example", subject, "bea@acme.example")
        )
        return str(found.user_id)

    assert await outcomes([sign_in(f"subject-{n}") for n in range(10)]) == {"done": 1, "ADDRESS_HELD": 9}


async def test_of_ten_who_are_given_one_new_address_at_once_one_gets_it(harness: PeopleHarness) -> None:
    async def sign_in(number: int, email: str) -> str:
        found = await harness.database.run(
            lambda tx: harness.users.of_login(tx, "https://issuer.example", f"subject-{number}", email)
        )
        return str(found.user_id)

    users = [await sign_in(number, f"p{number}@acme.example") for number in range(10)]
    assert await asyncio.gather(*(sign_in(number, "one@acme.example") for number in range(10))) == users
    assert harness.rows("SELECT count(*) FROM app_user WHERE email = 'one@acme.example'") == [(1,)]
    assert harness.audited("app_user.change") == ["app_user.change"]


async def test_settings_that_are_set_at_once_are_audited_as_a_chain(harness: PeopleHarness) -> None:
    await asyncio.gather(*(harness.set("invite_daily_limit", str(n)) for n in range(1, 21)))
    entries = harness.rows("SELECT before ->> 'value', after ->> 'value' FROM audit_entry")
    befores, afters = (Counter(values) for values in zip(*entries, strict=True))
    ((last,),) = harness.rows("SELECT value FROM global_setting")
    assert befores == afters - Counter([last]) + Counter(["100"])


def removal(org: str, email: str) -> pb.RemoveMemberRequest:
    return pb.RemoveMemberRequest(org_id=org_id(org), user_id=user_id(email))


async def test_who_decides_a_join_request_waits_for_no_change_of_members_with_their_own_role_held(
    service_database: MakeServiceDatabase,
) -> None:
    place = service_database("identity")
    harness = PeopleHarness(place)
    cat = harness.add_member("acme", "cat@acme.example", "Admin")
    harness.add_claim("acme", "acme.example")
    bea = harness.add_user("bea@acme.example")
    asked = await harness.call(bea, "CreateJoinRequest", pb.CreateJoinRequestRequest())
    decide = pb.DecideJoinRequestRequest(org_id=org_id("acme"), join_request_id=asked.join_request_id, approve=True)
    async with place.database().transaction() as tx:
        # As a change of the Admin's role does it.
        await MemberStore().lock_memberships(tx, UUID(org_id("acme")))
        deciding = asyncio.create_task(harness.call(cat, "DecideJoinRequest", decide))
        await until_it_waits(place, deciding)
        lock = "SELECT FROM membership WHERE user_id = :id FOR NO KEY UPDATE NOWAIT"
        await tx.execute(lock, {"id": user_id("cat@acme.example")})
        assert not deciding.done()
    assert (await deciding).join_request.state == pb.JOIN_REQUEST_STATE_APPROVED
