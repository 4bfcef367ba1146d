"""Durable consumers: every event has its effect once, and no event disappears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from apportion.common.v1.event_pb2 import EventEnvelope
from apportion_common.bus import consume, metrics
from apportion_common.bus.connection import connect
from apportion_common.bus.consume import ConsumerLimits, DurableConsumer
from apportion_common.bus.publish import PAYLOAD_BYTES_MAX, Outgoing, publish_one
from apportion_common.bus.relay import OutboxRelay
from apportion_common.bus.streams import ensure_streams
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.errors import FailedPrecondition, Unavailable
from apportion_common.topology import DEAD, EVENTS, MEBIBYTE
from apportion_dev.local.nats import LocalNats
from apportion_dev.testing.databases import ServiceDatabase, fetch_all
from apportion_dev.testing.plugin import BlankDatabase
from apportion_dev.testing.servers import NatsAccess
from bus_world import SERVICE, publish, run_until_killed, until
from nats.aio.client import Client
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import Counter

NAME = "ledger_things"
SUBJECTS = ["events.ledger.>"]
LIMITS = ConsumerLimits(ack_wait_s=2, max_deliveries=3)


@pytest.fixture
def place(base_database: BlankDatabase) -> ServiceDatabase:
    return base_database(SERVICE)


@pytest.fixture
def database(place: ServiceDatabase) -> Database:
    return place.database()


async def remember(tx: Transaction, envelope: EventEnvelope) -> None:
    """The effect: an audit entry that names the event."""
    await tx.audit("thing.seen", envelope.id)


def effects(place: ServiceDatabase) -> list[str]:
    return [resource for (resource,) in fetch_all(place.owner_url, "SELECT resource FROM audit_entry ORDER BY at")]


@asynccontextmanager
async def consuming(
    database: Database,
    nats: Client,
    handler: Callable[[Transaction, EventEnvelope], Awaitable[None]] = remember,
    paused: Callable[[], bool] = lambda: False,
) -> AsyncIterator[None]:
    """A consumer at work for the length of the block."""
    consumer = DurableConsumer(
        database,
        nats,
        stream=EVENTS.name,
        name=NAME,
        subjects=SUBJECTS,
        handler=handler,
        limits=LIMITS,
        paused=paused,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(consumer.run(stop))
    try:
        yield
    finally:
        stop.set()
        await running


def seen(place: ServiceDatabase, count: int) -> Callable[[], Awaitable[bool]]:
    """Whether that many effects were had."""

    async def reached() -> bool:
        return len(effects(place)) >= count

    return reached


def counted(counter: Counter, beyond: Any) -> Callable[[], Awaitable[bool]]:
    """Whether the consumer's counter has passed a value."""

    async def reached() -> bool:
        return bool(value_of(counter) > beyond)

    return reached


def value_of(counter: Counter) -> Any:
    return counter.labels(NAME)._value.get()


async def relay(database: Database, nats: Client, count: int) -> list[str]:
    ids = await publish(database, count)
    assert await OutboxRelay(database, nats).relay_once() == (count, count)
    return ids


@pytest.mark.usefixtures("streams")
async def test_every_event_has_its_effect_once_with_two_consumers_of_one_name(
    place: ServiceDatabase, database: Database, nats_connection: Client
) -> None:
    ids = await relay(database, nats_connection, 40)
    async with consuming(database, nats_connection), consuming(database, nats_connection):
        await until(seen(place, 40))
    assert sorted(effects(place)) == sorted(ids)


@pytest.mark.usefixtures("streams")
async def test_a_event_published_twice_is_deduplicated(
    place: ServiceDatabase, database: Database, nats_connection: Client
) -> None:
    before = value_of(metrics.DEDUPLICATED)
    ids = await relay(database, nats_connection, 1)
    ((subject, payload),) = fetch_all(place.owner_url, "SELECT subject, payload FROM outbox")
    await nats_connection.jetstream().publish(subject, payload)
    async with consuming(database, nats_connection):
        await until(counted(metrics.DEDUPLICATED, before))
    assert effects(place) == ids


@pytest.mark.usefixtures("streams")
@pytest.mark.parametrize("point", ["after_execute", "after_commit", "before_ack"])
async def test_a_consumer_killed_anywhere_has_each_effect_once(
    place: ServiceDatabase, database: Database, nats_connection: Client, nats_access: NatsAccess, point: str
) -> None:
    ids = await relay(database, nats_connection, 3)
    body = f"""
        async def remember(tx, envelope):
            await tx.audit("thing.seen", envelope.id)

        from apportion_common.bus.consume import ConsumerLimits
        consumer = DurableConsumer(
            database, nats, stream="EVENTS", name="{NAME}", subjects=["events.ledger.>"], handler=remember,
            limits=ConsumerLimits(ack_wait_s=2),
        )
        failpoints.arm(os.environ["FAIL_POINT"], "test")
        await consumer.run(asyncio.Event())
        """
    await asyncio.to_thread(run_until_killed, place, nats_access, f"consumer.{NAME}.{point}:2", body)
    assert len(effects(place)) == (1 if point == "after_execute" else 2)
    before = value_of(metrics.REDELIVERED)
    async with consuming(database, nats_connection):
        await until(seen(place, 3))
        await until(counted(metrics.REDELIVERED, before))
    assert sorted(effects(place)) == sorted(ids)


@pytest.mark.usefixtures("streams")
async def test_the_surroundings_fault_is_waited_out_however_often_it_comes(
    place: ServiceDatabase, database: Database, nats_connection: Client
) -> None:
    ids = await relay(database, nats_connection, 1)
    tries = 0

    async def late(tx: Transaction, envelope: EventEnvelope) -> None:
        nonlocal tries
        tries += 1
        await remember(tx, envelope)
        if tries <= LIMITS.max_deliveries + 1:
            raise Unavailable("ELSEWHERE_DOWN", "Another service is down.")

    async with consuming(database, nats_connection, late):
        await until(seen(place, 1))
    assert effects(place) == ids
    assert (await nats_connection.jetstream().stream_info(DEAD.name)).state.messages == 0


@pytest.mark.usefixtures("streams")
async def test_a_event_that_fails_by_itself_becomes_a_dead_letter_and_the_others_go_on(
    place: ServiceDatabase, database: Database, nats_connection: Client
) -> None:
    ids = await relay(database, nats_connection, 3)
    js = nats_connection.jetstream()
    tries = 0

    async def choosy(tx: Transaction, envelope: EventEnvelope) -> None:
        nonlocal tries
        await remember(tx, envelope)
        if envelope.id == ids[1]:
            tries += 1
            raise FailedPrecondition("NOT_MINE", "Mail to a@b.example.")

    async def dead() -> int:
        return (await js.stream_info(DEAD.name)).state.messages

    async def has_dead() -> bool:
        return await dead() > 0

    async with consuming(database, nats_connection, choosy):
        await until(has_dead)
        await until(seen(place, 2))
        assert (await js.consumer_info(EVENTS.name, NAME)).num_pending == 0
    assert tries == LIMITS.max_deliveries
    assert effects(place) == [ids[0], ids[2]]
    letter = await js.get_msg(DEAD.name, 1)
    assert letter.subject == f"dead.EVENTS.{NAME}"
    assert letter.data is not None
    assert EventEnvelope.FromString(letter.data).id == ids[1]
    headers = letter.headers or {}
    assert headers["Nats-Msg-Id"] == f"EVENTS:2:{NAME}"
    assert headers["Apportion-Failure-Reason"] == "NOT_MINE"
    assert headers["Apportion-Failure-Class"] == "FailedPrecondition"
    assert headers["Apportion-Failure-Message"] == "Mail to [redacted]."
    assert headers["Apportion-Subject"] == "events.ledger.thing.made"
    assert await dead() == 1


@pytest.mark.usefixtures("streams")
async def test_what_is_no_envelope_is_a_dead_letter_at_once(
    place: ServiceDatabase, database: Database, nats_connection: Client
) -> None:
    js = nats_connection.jetstream()
    await js.publish("events.ledger.thing.made", b"\xff not an envelope")
    ids = await relay(database, nats_connection, 1)
    async with consuming(database, nats_connection):
        await until(seen(place, 1))
    assert effects(place) == ids
    letter = await js.get_msg(DEAD.name, 1)
    assert letter.data == b"\xff not an envelope"
    assert (letter.headers or {})["Apportion-Failure-Reason"] == "ENVELOPE_MALFORMED"
    assert (letter.headers or {})["Apportion-Deliveries"] == "1"


@pytest.mark.usefixtures("streams")
async def test_a_message_that_is_too_large_to_be_a_dead_letter_leaves_one_that_says_where_it_lies(
    place: ServiceDatabase, database: Database, nats_connection: Client
) -> None:
    js = nats_connection.jetstream()
    # With the words of a dead letter added it is above what the server takes.
    content = b"\xff" * (PAYLOAD_BYTES_MAX - 300)
    await publish_one(js, Outgoing("events.ledger.thing.made", content, "large", {"tracestate": "t" * 100}))
    ids = await relay(database, nats_connection, 1)
    async with consuming(database, nats_connection):
        await until(seen(place, 1))
    assert effects(place) == ids
    letter = await js.get_msg(DEAD.name, 1)
    headers = letter.headers or {}
    assert not letter.data
    assert int(headers["Apportion-Left-Out-Bytes"]) > len(content)
    assert (headers["Apportion-Stream"], headers["Apportion-Sequence"]) == (EVENTS.name, "1")
    assert headers["Apportion-Failure-Reason"] == "ENVELOPE_MALFORMED"
    original = await js.get_msg(EVENTS.name, 1)
    assert original.data == content


@pytest.mark.usefixtures("streams")
async def test_a_paused_consumer_loses_nothing(
    place: ServiceDatabase, database: Database, nats_connection: Client
) -> None:
    closed = True
    ids = await relay(database, nats_connection, 2)
    async with consuming(database, nats_connection, paused=lambda: closed):
        await asyncio.sleep(0.5)
        assert effects(place) == []
        closed = False
        await until(seen(place, 2))
    assert effects(place) == ids


async def test_a_killed_and_restarted_nats_server_costs_nothing(
    place: ServiceDatabase, database: Database, killable_nats: tuple[LocalNats, NatsAccess]
) -> None:
    server, access = killable_nats
    nats = await connect(access, "test")
    await ensure_streams(nats.jetstream(), max_bytes=MEBIBYTE)
    stop = asyncio.Event()
    relaying = asyncio.create_task(OutboxRelay(database, nats).run(stop))
    ids: list[str] = []
    async with consuming(database, nats):
        ids += await publish(database, 20)
        await until(seen(place, 1))
        await asyncio.to_thread(server.kill)
        ids += await publish(database, 20)
        await asyncio.to_thread(server.start)
        ids += await publish(database, 20)
        await until(seen(place, 60))
    stop.set()
    await relaying
    await nats.close()
    assert sorted(effects(place)) == sorted(ids)


@pytest.mark.usefixtures("streams")
async def test_a_consumer_that_was_deleted_is_made_again(
    place: ServiceDatabase, database: Database, nats_connection: Client
) -> None:
    js = nats_connection.jetstream()
    first = await relay(database, nats_connection, 2)
    async with consuming(database, nats_connection):
        await until(seen(place, 2))
        await js.delete_consumer(EVENTS.name, NAME)
        second = await relay(database, nats_connection, 2)
        await until(seen(place, 4))
    assert effects(place) == first + second


@pytest.mark.usefixtures("streams")
async def test_a_span_says_which_message_of_what_was_processed_by_whom(
    place: ServiceDatabase, database: Database, nats_connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(consume, "_TRACER", provider.get_tracer("test"))
    [event_id] = await relay(database, nats_connection, 1)
    async with consuming(database, nats_connection):
        await until(seen(place, 1))
    (span,) = exporter.get_finished_spans()
    assert span.name == "process events.ledger.thing.made"
    assert dict(span.attributes or {}) == {
        "messaging.system": "nats",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "events.ledger.thing.made",
        "messaging.consumer.group.name": NAME,
        "messaging.message.id": event_id,
    }


async def test_a_consumer_whose_stream_was_deleted_and_made_anew_goes_on_with_it(
    place: ServiceDatabase, database: Database, nats_connection: Client, streams: None
) -> None:
    async with consuming(database, nats_connection):
        first = await relay(database, nats_connection, 1)
        await until(seen(place, 1))
        await nats_connection.jetstream().delete_stream(EVENTS.name)
        await asyncio.sleep(2 * consume.FETCH_TIMEOUT_S)
        await ensure_streams(nats_connection.jetstream(), max_bytes=MEBIBYTE)
        second = await relay(database, nats_connection, 1)
        await until(seen(place, 2))
    assert effects(place) == first + second
