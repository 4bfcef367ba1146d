"""A new organisation gets its first Owner from what orgs announces, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from apportion.common.v1.event_pb2 import EventEnvelope
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.orgs.v1.orgs_service_pb2 import Org, OrgCreated
from apportion_common.bus.relay import OutboxRelay
from apportion_common.db.unit_of_work import Transaction
from apportion_common.errors import ApportionError
from apportion_dev.testing.plugin import MakeServiceDatabase
from apportion_identity.app.members import Members
from apportion_identity.consumers.org_created import FirstOwners, org_created_consumer
from apportion_identity.store.members import StoredMembers
from nats.aio.client import Client
from people_world import OPERATOR, World, org_id, user_id

ADA = "ada@acme.example"
WAIT_S = 60


@pytest.fixture
def world(service_database: MakeServiceDatabase) -> World:
    return World(service_database("identity"))


@asynccontextmanager
async def running(world: World, nats: Client) -> AsyncIterator[None]:
    """identity's consumer, and a relay for what the tests announce, at work for the length of the block."""
    stop = asyncio.Event()
    owners = FirstOwners(Members(StoredMembers()), world.users)
    tasks = [
        asyncio.create_task(OutboxRelay(world.database, nats).run(stop)),
        asyncio.create_task(org_created_consumer(world.database, nats, owners).run(stop)),
    ]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def publish(world: World, org: str, **owner: str) -> None:
    created = OrgCreated(org=Org(org_id=org_id(org), legal_name=org, slug=org), **owner)
    async with world.database.transaction() as tx:
        await tx.publish("orgs.org.created", created)


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await reached():  # noqa: ASYNC110 - what is waited for happens in a server
            await asyncio.sleep(0.05)


def handled(world: World, count: int) -> Callable[[], Awaitable[bool]]:
    async def reached() -> bool:
        return world.rows("SELECT count(*) FROM inbox") == [(count,)]

    return reached


async def test_who_is_named_becomes_the_owner_by_id_or_by_address(
    world: World, nats_connection: Client, streams: None
) -> None:
    world.add_user("bea@acme.example")
    async with running(world, nats_connection):
        await publish(world, "acme", owner_email="Ada@ACME.example")
        await publish(world, "other", owner_user_id=user_id("bea@acme.example"), owner_email="not@looked.at")
        await publish(world, "nobody")
        await until(handled(world, 3))
    assert world.roles("acme") == {ADA: "Owner"}
    assert world.roles("other") == {"bea@acme.example": "Owner"}
    assert world.roles("nobody") == {}
    assert sorted(world.audited()) == ["app_user.create", "membership.create", "membership.create"]
    assert world.rows("SELECT actor FROM audit_entry LIMIT 1") == [("service:identity",)]


async def test_an_organisation_that_has_an_owner_by_now_keeps_its_own(
    world: World, nats_connection: Client, streams: None
) -> None:
    world.add_member("acme", "bea@acme.example", "Owner")
    async with running(world, nats_connection):
        await publish(world, "acme", owner_email=ADA)
        await until(handled(world, 1))
    assert world.roles("acme") == {"bea@acme.example": "Owner"}


async def test_a_member_who_is_named_rises_to_owner_with_what_they_were_before(
    world: World, nats_connection: Client, streams: None
) -> None:
    world.add_member("acme", ADA, "User")
    async with running(world, nats_connection):
        await publish(world, "acme", owner_user_id=user_id(ADA))
        await until(handled(world, 1))
    assert world.rows("SELECT action, before FROM audit_entry") == [("membership.change", {"role": "User"})]


async def test_an_announcement_that_names_somebody_unknown_or_no_organisation_changes_nothing(world: World) -> None:
    owners = FirstOwners(Members(StoredMembers()), world.users)
    org = Org(org_id=org_id("acme"))
    for payload, reason in (
        (OrgCreated(org=org, owner_user_id=user_id("gone@acme.example")), "USER_NOT_FOUND"),
        (OrgCreated(org=org, owner_email="no address"), "EMAIL_MALFORMED"),
        (OrgCreated(owner_email=ADA), "ID_MALFORMED"),
        (org, "PAYLOAD_TYPE"),
    ):
        envelope = EventEnvelope(type="orgs.org.created")
        envelope.payload.Pack(payload)
        with pytest.raises(ApportionError) as refused:
            await world.database.run(lambda tx, told=envelope: owners(tx, told))
        assert refused.value.reason == reason
    assert (world.audited(), world.rows("SELECT count(*) FROM app_user")) == ([], [(0,)])


async def test_an_organisation_whose_announcement_names_nobody_gets_its_owner_by_an_operators_invitation(
    world: World,
) -> None:
    made = await world.invite(OPERATOR, "acme", ADA, pb.MEMBER_ROLE_OWNER)
    await world.accept(world.add_user(ADA), made.token)
    assert world.roles("acme") == {ADA: "Owner"}


async def test_of_ten_announcements_of_one_organisation_at_once_one_makes_the_owner(world: World) -> None:
    members = Members(StoredMembers())
    emails = [f"p{n}@acme.example" for n in range(10)]

    async def make(email: str) -> bool:
        async def work(tx: Transaction) -> bool:
            return await members.make_first_owner(tx, UUID(org_id("acme")), await world.users.of_address(tx, email))

        return await world.database.run(work)

    made = await asyncio.gather(*map(make, emails))
    assert made.count(True) == 1
    assert list(world.roles("acme").values()) == ["Owner"]
