"""Who signs in: found by what the issuer says, or by a verified address, and never given to somebody else."""

from __future__ import annotations

import pytest
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.caller import Caller
from apportion_common.errors import ApportionError
from apportion_dev.testing.plugin import MakeServiceDatabase
from apportion_identity.domain.tokens import user_of_subject
from identity_harness import user_id
from people_harness import PeopleHarness, user

ONE, TWO = "https://one.example", "https://two.example"
BEA = "bea@acme.example"


@pytest.fixture
def harness(service_database: MakeServiceDatabase) -> PeopleHarness:
    return PeopleHarness(service_database("identity"))


async def sign_in(harness: PeopleHarness, issuer: str, subject: str, email: str) -> str:
    found = await harness.database.run(lambda tx: harness.users.of_login(tx, issuer, subject, email))
    return str(found.user_id)


async def test_a_first_sign_in_makes_a_user_and_later_ones_find_it_whatever_the_address_says(
    harness: PeopleHarness,
) -> None:
    first = await sign_in(harness, ONE, "b-1", BEA)
    assert await sign_in(harness, ONE, "b-1", BEA) == first
    assert harness.audited() == ["app_user.create", "user_login.create"]
    assert await sign_in(harness, ONE, "b-1", "married@acme.example") == first
    assert harness.rows("SELECT email::text FROM app_user") == [("married@acme.example",)]
    assert harness.audited("app_user.change") == ["app_user.change"]
    assert harness.rows("SELECT count(*) FROM audit_entry WHERE (before, after)::text LIKE '%%acme.example%%'") == [
        (0,)
    ]


async def test_an_address_that_its_issuer_vouches_for_no_more_opens_nothing(harness: PeopleHarness) -> None:
    """Neither the former company nor an invitation to the old address; who has the address now is somebody else."""
    harness.add_member("acme", "ann@acme.example", "Owner")
    harness.add_claim("acme", "acme.example")
    old = await harness.invite(user("ann@acme.example"), "acme", BEA)
    bea = Caller(f"user:{await sign_in(harness, ONE, 'b-1', BEA)}")
    assert await sign_in(harness, ONE, "b-1", "bea@home.example") == bea.subject.removeprefix("user:")
    asked = await harness.reason(bea, "CreateJoinRequest", pb.CreateJoinRequestRequest())
    assert asked == ("NOT_FOUND", "JOIN_NOT_AVAILABLE")
    accepted = await harness.reason(bea, "AcceptInvitation", pb.AcceptInvitationRequest(token=old.token))
    assert accepted == ("PERMISSION_DENIED", "INVITATION_FOREIGN")
    successor = Caller(f"user:{await sign_in(harness, ONE, 'b-2', BEA)}")
    assert successor != bea
    await harness.accept(successor, old.token)
    new = await harness.invite(user("ann@acme.example"), "acme", "bea@home.example")
    await harness.accept(bea, new.token)


async def test_an_address_that_is_another_users_stays_theirs(harness: PeopleHarness) -> None:
    bea, cat = await sign_in(harness, ONE, "b-1", BEA), await sign_in(harness, ONE, "c-1", "cat@acme.example")
    assert await sign_in(harness, ONE, "b-1", "cat@acme.example") == bea
    assert harness.rows("SELECT user_id::text, email::text FROM app_user ORDER BY email") == [
        (bea, BEA),
        (cat, "cat@acme.example"),
    ]
    assert harness.audited("app_user.change") == []


async def test_who_was_there_by_address_is_found_in_any_letter_case_and_from_a_second_issuer(
    harness: PeopleHarness,
) -> None:
    harness.add_user("Bea@Acme.example")
    there = user_id("Bea@Acme.example")
    assert await sign_in(harness, ONE, "b-1", BEA) == there
    assert await sign_in(harness, TWO, "b-9", BEA) == there
    assert harness.audited() == ["user_login.create"] * 2


async def test_an_address_that_was_handed_on_does_not_hand_on_the_user(harness: PeopleHarness) -> None:
    await sign_in(harness, ONE, "b-1", BEA)
    with pytest.raises(ApportionError) as rejected:
        await sign_in(harness, ONE, "b-2", BEA)
    assert (rejected.value.code, rejected.value.reason) == ("PERMISSION_DENIED", "ADDRESS_HELD")
    assert harness.rows("SELECT subject FROM user_login") == [("b-1",)]


async def test_the_same_subject_of_two_issuers_is_two_people(harness: PeopleHarness) -> None:
    assert await sign_in(harness, ONE, "1", BEA) != await sign_in(harness, TWO, "1", "cat@acme.example")


def test_only_a_persons_subject_names_a_user() -> None:
    assert str(user_of_subject(f"user:{user_id(BEA)}")) == user_id(BEA)
    for other in ("service:identity", f"service_account:{user_id(BEA)}", "user:", "user:bea", user_id(BEA)):
        assert user_of_subject(other) is None
