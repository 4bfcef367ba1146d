"""Who signs in: found by what the issuer says, or by a verified address, and never given to somebody else."""

from __future__ import annotations

import pytest
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.caller import Caller
from apportion_common.errors import ApportionError
from apportion_dev.testing.plugin import MakeServiceDatabase
from apportion_identity.app.members import user_of_subject
from people_world import World, user, user_id

ONE, TWO = "https://one.example", "https://two.example"
BEA = "bea@acme.example"


@pytest.fixture
def world(service_database: MakeServiceDatabase) -> World:
    return World(service_database("identity"))


async def sign_in(world: World, issuer: str, subject: str, email: str) -> str:
    found = await world.database.run(lambda tx: world.users.of_login(tx, issuer, subject, email))
    return str(found.user_id)


async def test_a_first_sign_in_makes_a_user_and_later_ones_find_it_whatever_the_address_says(world: World) -> None:
    first = await sign_in(world, ONE, "b-1", BEA)
    assert await sign_in(world, ONE, "b-1", BEA) == first
    assert world.audited() == ["app_user.create", "user_login.create"]
    assert await sign_in(world, ONE, "b-1", "married@acme.example") == first
    assert world.rows("SELECT email::text FROM app_user") == [("married@acme.example",)]
    assert world.audited("app_user.change") == ["app_user.change"]
    assert world.rows("SELECT count(*) FROM audit_entry WHERE (before, after)::text LIKE '%%acme.example%%'") == [(0,)]


async def test_an_address_that_its_issuer_vouches_for_no_more_opens_nothing(world: World) -> None:
    """Neither the former company nor an invitation to the old address; who has the address now is somebody else."""
    world.add_member("acme", "ann@acme.example", "Owner")
    world.add_claim("acme", "acme.example")
    old = await world.invite(user("ann@acme.example"), "acme", BEA)
    bea = Caller(f"user:{await sign_in(world, ONE, 'b-1', BEA)}")
    assert await sign_in(world, ONE, "b-1", "bea@home.example") == bea.subject.removeprefix("user:")
    asked = await world.reason(bea, "CreateJoinRequest", pb.CreateJoinRequestRequest())
    assert asked == ("NOT_FOUND", "JOIN_NOT_AVAILABLE")
    accepted = await world.reason(bea, "AcceptInvitation", pb.AcceptInvitationRequest(token=old.token))
    assert accepted == ("PERMISSION_DENIED", "INVITATION_FOREIGN")
    successor = Caller(f"user:{await sign_in(world, ONE, 'b-2', BEA)}")
    assert successor != bea
    await world.accept(successor, old.token)
    new = await world.invite(user("ann@acme.example"), "acme", "bea@home.example")
    await world.accept(bea, new.token)


async def test_an_address_that_is_another_users_stays_theirs(world: World) -> None:
    bea, cat = await sign_in(world, ONE, "b-1", BEA), await sign_in(world, ONE, "c-1", "cat@acme.example")
    assert await sign_in(world, ONE, "b-1", "cat@acme.example") == bea
    assert world.rows("SELECT user_id::text, email::text FROM app_user ORDER BY email") == [
        (bea, BEA),
        (cat, "cat@acme.example"),
    ]
    assert world.audited("app_user.change") == []


async def test_who_was_there_by_address_is_found_in_any_letter_case_and_from_a_second_issuer(world: World) -> None:
    world.add_user("Bea@Acme.example")
    there = user_id("Bea@Acme.example")
    assert await sign_in(world, ONE, "b-1", BEA) == there
    assert await sign_in(world, TWO, "b-9", BEA) == there
    assert world.audited() == ["user_login.create"] * 2


async def test_an_address_that_was_handed_on_does_not_hand_on_the_user(world: World) -> None:
    await sign_in(world, ONE, "b-1", BEA)
    with pytest.raises(ApportionError) as refused:
        await sign_in(world, ONE, "b-2", BEA)
    assert (refused.value.code, refused.value.reason) == ("PERMISSION_DENIED", "ADDRESS_HELD")
    assert world.rows("SELECT subject FROM user_login") == [("b-1",)]


async def test_the_same_subject_of_two_issuers_is_two_people(world: World) -> None:
    assert await sign_in(world, ONE, "1", BEA) != await sign_in(world, TWO, "1", "cat@acme.example")


def test_only_a_persons_subject_names_a_user() -> None:
    assert str(user_of_subject(f"user:{user_id(BEA)}")) == user_id(BEA)
    for other in ("service:identity", f"service_account:{user_id(BEA)}", "user:", "user:bea", user_id(BEA)):
        assert user_of_subject(other) is None
