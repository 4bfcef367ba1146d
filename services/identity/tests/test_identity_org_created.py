"""A new organisation gets its first Owner from what orgs publishes, once."""

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
from apportion_identity.consumers.org_created import FirstOwners, org_created_consumer
from identity_harness import OPERATOR, org_id, user_id
from nats.aio.client import Client
from people_harness import PeopleHarness

ADA = "ada@acme.example"
WAIT_S = 60


@pytest.fixture
def harness(service_database: MakeServiceDatabase) -> PeopleHarness:
    return PeopleHarness(service_database("identity"))


@asynccontextmanager
async def running(harness: PeopleHarness, nats: Client) -> AsyncIterator[None]:
    """identity's consumer, and a relay for what the tests publish, at work for the length of the block."""
    stop = asyncio.Event()
    owners = FirstOwners(harness.parts.memberships, harness.users)
    tasks = [
        asyncio.create_task(OutboxRelay(harness.database, nats).run(stop)),
        asyncio.create_task(org_created_consumer(harness.database, nats, owners).run(stop)),
    ]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def publish(harness: PeopleHarness, org: str, **owner: str) -> None:
    created = OrgCreated(org=Org(org_id=org_id(org), legal_name=org, slug=org), **owner)
    async with harness.database.transaction() as tx:
        await tx.publish("orgs.org.created", created)


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not await reached():  # noqa: ASYNC110 - what is waited for happens in a server
            await asyncio.sleep(0.05)


def handled(harness: PeopleHarness, count: int) -> Callable[[], Awaitable[bool]]:
    async def reached() -> bool:
        return harness.rows("SELECT count(*) FROM inbox") == [(count,)]

    return reached


async def test_who_is_named_becomes_the_owner_by_id_or_by_address(
    harness: PeopleHarness, nats_connection: Client, streams: None
) -> None:
    harness.add_user("bea@acme.example")
    async with running(harness, nats_connection):
        await publish(harness, "acme", owner_email="Ada@ACME.example")
        await publish(harness, "other", owner_user_id=user_id("bea@acme.example"), owner_email="not@looked.at")
        await publish(harness, "nobody")
        await until(handled(harness, 3))
    assert harness.roles("acme") == {ADA: "Owner"}
    assert harness.roles("other") == {"bea@acme.example": "Owner"}
    assert harness.roles("nobody") == {}
    assert sorted(harness.audited()) == ["app_user.create", "membership.create", "membership.create"]
    assert harness.rows("SELECT actor FROM audit_entry LIMIT 1") == [("service:identity",)]


async def test_an_organisation_that_has_an_owner_by_now_keeps_its_own(
    harness: PeopleHarness, nats_connection: Client, streams: None
) -> None:
    harness.add_member("acme", "bea@acme.example", "Owner")
    async with running(harness, nats_connection):
        await publish(harness, "acme", owner_email=ADA)
        await until(handled(harness, 1))
    assert harness.roles("acme") == {"bea@acme.example": "Owner"}


async def test_a_member_who_is_named_rises_to_owner_with_what_they_were_before(
    harness: PeopleHarness, nats_connection: Client, streams: None
) -> None:
    harness.add_member("acme", ADA, "User")
    async with running(harness, nats_connection):
        await publish(harness, "acme", owner_user_id=user_id(ADA))
        await until(handled(harness, 1))
    assert harness.rows("SELECT action, before FROM audit_entry") == [("membership.change", {"role": "User"})]


async def test_an_event_that_names_somebody_unknown_or_no_organisation_changes_nothing(
    harness: PeopleHarness,
) -> None:
    owners = FirstOwners(harness.parts.memberships, harness.users)
    org = Org(org_id=org_id("acme"))
    for payload, reason in (
        (OrgCreated(org=org, owner_user_id=user_id("gone@acme.example")), "USER_NOT_FOUND"),
        (OrgCreated(org=org, owner_email="no address"), "EMAIL_MALFORMED"),
        (OrgCreated(owner_email=ADA), "ID_MALFORMED"),
        (org, "PAYLOAD_TYPE"),
    ):
        envelope = EventEnvelope(type="orgs.org.created")
        envelope.payload.Pack(payload)
        with pytest.raises(ApportionError) as rejected:
            await harness.database.run(lambda tx, told=envelope: owners(tx, told))
        assert rejected.value.reason == reason
    assert (harness.audited(), harness.rows("SELECT count(*) FROM app_user")) == ([], [(0,)])


async def test_an_organisation_whose_event_names_nobody_gets_its_owner_by_an_operators_invitation(
    harness: PeopleHarness,
) -> None:
    made = await harness.invite(OPERATOR, "acme", ADA, pb.MEMBER_ROLE_OWNER)
    await harness.accept(harness.add_user(ADA), made.token)
    assert harness.roles("acme") == {ADA: "Owner"}


async def test_of_ten_events_of_one_organisation_at_once_one_makes_the_owner(harness: PeopleHarness) -> None:
    memberships = harness.parts.memberships
    emails = [f"p{n}@acme.example" for n in range(10)]

    async def make(email: str) -> bool:
        async def work(tx: Transaction) -> bool:
            return await memberships.make_first_owner(
                tx, UUID(org_id("acme")), await harness.users.of_address(tx, email)
            )

        return await harness.database.run(work)

    made = await asyncio.gather(*map(make, emails))
    assert made.count(True) == 1
    assert list(harness.roles("acme").values()) == ["Owner"]
