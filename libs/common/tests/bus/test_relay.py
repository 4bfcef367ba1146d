"""The outbox relay: everything committed is published, once as far as anyone can tell."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from apportion_common.bus import metrics
from apportion_common.bus.relay import OutboxRelay
from apportion_common.db.unit_of_work import Database
from apportion_common.topology import EVENTS
from apportion_dev.testing.databases import ServiceDatabase, fetch_all
from apportion_dev.testing.plugin import BlankDatabase
from apportion_dev.testing.servers import NatsAccess
from bus_world import SERVICE, events, publish, run_until_killed, until
from nats.aio.client import Client

pytestmark = pytest.mark.usefixtures("streams")

RELAY = """
failpoints.arm(os.environ["FAIL_POINT"], "test")
await OutboxRelay(database, nats).relay_once()
"""


@pytest.fixture
def place(base_database: BlankDatabase) -> ServiceDatabase:
    return base_database(SERVICE)


@pytest.fixture
def database(place: ServiceDatabase) -> Database:
    return place.database()


def unpublished(place: ServiceDatabase) -> int:
    ((count,),) = fetch_all(place.owner_url, "SELECT count(*) FROM outbox WHERE published_at IS NULL")
    return int(count)


async def test_what_is_committed_is_published_in_order_under_its_own_id(
    place: ServiceDatabase, database: Database, nats_connection: Client
) -> None:
    ids = await publish(database, 5)
    assert await OutboxRelay(database, nats_connection).relay_once() == (5, 5)
    assert await events(nats_connection) == [(event_id, event_id) for event_id in ids]
    assert await OutboxRelay(database, nats_connection).relay_once() == (0, 0)
    assert unpublished(place) == 0


@pytest.mark.parametrize(
    ("point", "sent", "marked"),
    [("after_execute", 0, 0), ("after_publish", 4, 0), ("before_ack", 4, 0), ("after_commit", 4, 4)],
)
async def test_a_relay_killed_anywhere_loses_nothing_and_doubles_nothing(
    place: ServiceDatabase,
    database: Database,
    nats_connection: Client,
    nats_access: NatsAccess,
    point: str,
    sent: int,
    marked: int,
) -> None:
    ids = await publish(database, 4)
    await asyncio.to_thread(run_until_killed, place, nats_access, f"{SERVICE}.relay.{point}", RELAY)
    assert len(await events(nats_connection)) == sent
    assert unpublished(place) == 4 - marked

    relay = OutboxRelay(database, nats_connection)

    async def all_published() -> bool:
        # The server may take a moment to see that the killed process is gone, whose session has the rows locked.
        await relay.relay_once()
        return unpublished(place) == 0

    await until(all_published)
    assert await events(nats_connection) == [(event_id, event_id) for event_id in ids]


async def test_two_relays_share_the_work_and_double_nothing(
    place: ServiceDatabase, database: Database, nats_connection: Client
) -> None:
    ids = [event_id for _ in range(10) for event_id in await publish(database, 12)]
    before = metrics.PUBLISHED.labels(SERVICE)._value.get()

    async def all_published() -> bool:
        return unpublished(place) == 0

    stop = asyncio.Event()
    relays = [OutboxRelay(database, nats_connection, batch_rows=7) for _ in range(2)]
    running = [asyncio.create_task(relay.run(stop)) for relay in relays]
    await until(all_published)
    stop.set()
    await asyncio.gather(*running)
    # The stream would hide a second publication behind its message ids: the relays' own count tells.
    assert metrics.PUBLISHED.labels(SERVICE)._value.get() - before == len(ids)
    assert sorted(event_id for _, event_id in await events(nats_connection)) == sorted(ids)


async def test_a_relay_at_rest_is_woken_by_what_its_process_commits(
    place: ServiceDatabase, database: Database, nats_connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its second look at an empty outbox would come after the test.
    monkeypatch.setattr("apportion_common.bus.relay.BUSY_POLL_MS", 3_600_000)
    monkeypatch.setattr("apportion_common.bus.relay.IDLE_POLL_MS", 3_600_000)

    async def all_published() -> bool:
        return unpublished(place) == 0 and len(await events(nats_connection)) == 1

    stop = asyncio.Event()
    running = asyncio.create_task(OutboxRelay(database, nats_connection).run(stop))
    await asyncio.sleep(0.5)
    await publish(database, 1)
    await until(all_published)
    stop.set()
    await running


async def test_rows_that_one_relay_holds_are_skipped_by_another(
    place: ServiceDatabase, database: Database, nats_connection: Client
) -> None:
    await publish(database, 3)
    async with database.transaction() as tx:
        await tx.execute("SELECT 1 FROM outbox FOR UPDATE")
        assert await OutboxRelay(database, nats_connection).relay_once() == (0, 0)
    assert await OutboxRelay(database, nats_connection).relay_once() == (3, 3)


async def test_what_a_stream_refuses_stays_and_the_rest_goes(
    place: ServiceDatabase, database: Database, nats_connection: Client
) -> None:
    async with database.transaction() as tx:
        await tx.enqueue("nobody.listens", b"x")
    await publish(database, 2)
    assert await OutboxRelay(database, nats_connection).relay_once() == (3, 2)
    assert unpublished(place) == 1


async def test_rows_that_are_too_large_for_their_stream_stay_and_do_not_keep_back_the_rows_behind_them(
    place: ServiceDatabase, database: Database, nats_connection: Client
) -> None:
    js = nats_connection.jetstream()
    config = (await js.stream_info(EVENTS.name)).config
    await js.update_stream(config.evolve(max_msg_size=2_000))
    async with database.transaction() as tx:
        for _ in range(3):
            await tx.enqueue("events.large", bytes(3_000))
    ids = await publish(database, 2)

    async def rest_published() -> bool:
        return len(await events(nats_connection)) == 2

    # Batches of as many rows as are too large: without stepping aside they would be all that is ever taken.
    relay = OutboxRelay(database, nats_connection, batch_rows=3)
    stop = asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    await until(rest_published)
    assert [event_id for _, event_id in await events(nats_connection)] == ids
    assert metrics.OUTBOX_PARKED.labels(SERVICE)._value.get() == 3
    stop.set()
    await running
    assert unpublished(place) == 3

    await js.update_stream(config)
    assert await OutboxRelay(database, nats_connection).relay_once() == (3, 3)


async def test_parked_rows_are_tried_again_after_a_while(
    place: ServiceDatabase, database: Database, nats_connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apportion_common.bus.relay.PARKED_FOR_MS", 300)
    js = nats_connection.jetstream()
    config = (await js.stream_info(EVENTS.name)).config
    await js.update_stream(config.evolve(max_msg_size=2_000))
    async with database.transaction() as tx:
        await tx.enqueue("events.large", bytes(3_000))

    async def parked() -> bool:
        return metrics.OUTBOX_PARKED.labels(SERVICE)._value.get() == 1

    async def all_published() -> bool:
        return unpublished(place) == 0

    stop = asyncio.Event()
    running = asyncio.create_task(OutboxRelay(database, nats_connection).run(stop))
    await until(parked)
    await js.update_stream(config)
    await until(all_published)
    stop.set()
    await running
    assert metrics.OUTBOX_PARKED.labels(SERVICE)._value.get() == 0


async def test_the_relay_waits_for_a_stream_that_is_not_there_yet(
    place: ServiceDatabase, database: Database, nats_connection: Client
) -> None:
    js = nats_connection.jetstream()
    config = (await js.stream_info(EVENTS.name)).config
    await js.delete_stream(EVENTS.name)
    ids = await publish(database, 2)

    async def all_published() -> bool:
        return unpublished(place) == 0

    stop = asyncio.Event()
    running = asyncio.create_task(OutboxRelay(database, nats_connection).run(stop))
    await asyncio.sleep(0.3)
    assert unpublished(place) == 2
    await js.add_stream(config)
    await until(all_published)
    stop.set()
    await running
    assert [event_id for _, event_id in await events(nats_connection)] == ids


async def test_old_published_rows_are_purged_and_unpublished_ones_never(
    place: ServiceDatabase, database: Database, nats_connection: Client
) -> None:
    await publish(database, 2)
    relay = OutboxRelay(database, nats_connection)
    await relay.relay_once()
    await publish(database, 1)
    assert await relay.purge_once() == 0
    assert await relay.purge_once(timedelta(0)) == 2
    assert unpublished(place) == 1
