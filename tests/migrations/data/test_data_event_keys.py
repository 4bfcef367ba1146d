"""Events of before get their keys: one that is sent again is known to the writer, which makes the keys of new ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import psycopg
import pytest
from apportion.metering.v1 import lane_pb2
from apportion.metering.v1 import metering_service_pb2 as pb
from apportion_common.clock import SystemClock
from apportion_common.ids import lane_of
from apportion_common.lanes.model import LaneMessage, LanePosition
from apportion_common.protos import pack_int
from apportion_dev.testing.databases import DatabaseFactory
from apportion_metering.consumers.writer import Writer
from apportion_metering.domain.dedupe import ACCEPTED, DUPLICATE, MISMATCH
from apportion_metering.domain.intake import CheckedEvent, ReadableEvent, check_readable
from apportion_metering.domain.progress import EventState
from apportion_metering.store.dead_letters import DeadLetterStore
from apportion_metering.store.events import EventStore
from apportion_metering.store.journal import JournalStore
from apportion_metering.wiring import make_parts
from apportion_migrate import data
from apportion_migrate.data import Throttle
from data_worlds import Legacy, legacy_world
from nats.aio.client import Client

AT_ONCE = Throttle(pause_ms=0)
ORG = UUID("11111111-1111-4111-8111-111111111111")
PROJECT = UUID("33333333-3333-4333-8333-333333333333")
RECEIVED_AT_US = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z."""

OF_BEFORE: tuple[tuple[str, str | None, str, str, Mapping[str, Any] | None], ...] = (
    ("plain", None, "1", "2025-08-01T10:00:00Z", None),
    ("with-project", str(PROJECT), "2.5", "2025-08-01T10:00:00.123456Z", {}),
    ("negative", None, "-0.000000001", "2000-01-01T00:00:00.000001Z", {"colour": "grün", "b": "2", "B": "3"}),
    ("large", None, "999999999999999999.999999999", "2025-08-01T12:00:00+02:00", {"z": "", "ä": "1", "Z": "=|:"}),
    ("of other kinds", None, "7", "2025-08-01T10:00:00Z", {"old": True, "price": 1.50, "none": None, "text": "t"}),
)
"""Request id, project, quantity, time and metadata as they stood before."""
SENT_LABELS = {"of other kinds": {"old": "true", "price": "1.5", "text": "t"}}
"""How a producer writes labels that were no texts."""


def fill(session: psycopg.Connection[Any]) -> None:
    for number, (request_id, project, quantity, at, metadata) in enumerate(OF_BEFORE, start=1):
        session.execute(
            "INSERT INTO metering_event VALUES (%s, %s, %s, 'ACT-SMS', %s, %s, %s, %s)",
            (
                UUID(int=number),
                ORG,
                project,
                quantity,
                at,
                request_id,
                None if metadata is None else json.dumps(metadata),
            ),
        )


@pytest.fixture
def legacy(database_factory: DatabaseFactory) -> Iterator[Legacy]:
    made = legacy_world(database_factory, "metering", "event_keys", fill)
    yield made
    made.engine.dispose()
    database_factory.drop(made.database.name)


def sent(request_id: str, quantity: str | None = None) -> CheckedEvent:
    """An event of before as its producer sends it now, checked as intake checks it."""
    (found,) = (row for row in OF_BEFORE if row[0] == request_id)
    _, project, stored, at, metadata = found
    labels = SENT_LABELS.get(request_id, metadata or {})
    checked = check_readable(
        ReadableEvent(str(ORG), project or "", request_id, "ACT-SMS", quantity or stored, at, labels)
    )
    assert isinstance(checked, CheckedEvent)
    return checked


def as_message(*events: CheckedEvent) -> lane_pb2.IntakeMessage:
    """Events as intake puts them on their lane."""
    message = lane_pb2.IntakeMessage(received_at_us=RECEIVED_AT_US, producer="test", reply_to="somewhere")
    for event in events:
        message.entries.add().event.CopyFrom(
            lane_pb2.IntakeEvent(
                org_id=event.org_id,
                project_id=event.project_id,
                request_id=event.request_id,
                sku=event.sku,
                quantity=pack_int(event.quantity),
                event_time_us=event.event_time_us,
                metadata=event.metadata,
                content_hash=event.content_hash,
                source=pb.EVENT_SOURCE_BACKEND,
            )
        )
    return message


async def outcomes_of(legacy: Legacy, *events: CheckedEvent) -> list[int]:
    """What the writer tells the sender of these events; what it writes is committed."""
    told: list[bytes] = []

    class Ear:
        async def send(self, subject: str, payload: bytes) -> None:
            told.append(payload)

    writer = Writer(EventStore(), DeadLetterStore(), JournalStore(), Ear(), packed=True)  # type: ignore[arg-type]
    content = as_message(*events).SerializeToString()
    value, weight = writer.decode(content)
    async with legacy.database.database().transaction() as tx:
        position = LanePosition(lane_of(ORG.bytes), 0, 1)
        (outcome,) = await writer.process(tx, [(position, [LaneMessage(1, content, value, weight)])])
    assert outcome.after_commit is not None
    await outcome.after_commit()
    return list(lane_pb2.CommitReport.FromString(told[0]).outcomes)


@pytest.mark.parametrize("request_id", [row[0] for row in OF_BEFORE])
async def test_an_event_of_before_that_is_sent_again_is_a_duplicate_and_without_its_key_it_is_not(
    request_id: str, legacy: Legacy
) -> None:
    data.run(legacy.engine, legacy.migration, throttle=AT_ONCE)
    assert await outcomes_of(legacy, sent(request_id)) == [DUPLICATE]
    assert legacy.ask("SELECT count(*) FROM metering_event") == len(OF_BEFORE)
    with legacy.session() as session:
        session.execute("DELETE FROM metering_event_key")
        session.execute("DELETE FROM lane_journal")
    assert await outcomes_of(legacy, sent(request_id)) == [ACCEPTED]
    await legacy.database.close()


async def test_other_content_under_an_id_of_before_is_a_mismatch_and_the_first_stands(legacy: Legacy) -> None:
    data.run(legacy.engine, legacy.migration, throttle=AT_ONCE)
    assert await outcomes_of(legacy, sent("plain", quantity="2")) == [MISMATCH]
    assert legacy.rows("SELECT reason, state FROM dead_letter") == [("PAYLOAD_MISMATCH", "open")]
    assert legacy.ask("SELECT count(*) FROM metering_event") == len(OF_BEFORE)
    await legacy.database.close()


async def test_an_event_of_before_counts_as_posted_under_its_id_of_before(legacy: Legacy) -> None:
    data.run(legacy.engine, legacy.migration, throttle=AT_ONCE)
    with legacy.session() as session:
        session.execute(
            "INSERT INTO lane (role, lane, epoch, owner, stream_id, stream_seq, pos, next_seq, out_pos)"
            " SELECT 'metering_writer', n, 0, '', '', 0, 0, 1, 0 FROM generate_series(0, 31) AS n"
        )
    database = legacy.database.database()
    parts = make_parts(database, Client(), SystemClock(), monitor_url=None, worker_id="none", lease_s=1)
    (found,) = await parts.usage_events.status(ORG, ["plain"])
    assert (found.state, found.reason) == (EventState.POSTED, "")
    assert found.known is not None
    assert found.known.event_id == UUID(int=1)
    await legacy.database.close()


def test_every_event_of_before_gets_one_key_in_chunks_and_again_changes_nothing(
    database_factory: DatabaseFactory,
) -> None:
    def many(session: psycopg.Connection[Any]) -> None:
        # Ids may stand twice, over the end of a chunk too: nothing kept them apart.
        session.execute(
            """
            INSERT INTO metering_event
            SELECT lpad(to_hex(n / 2), 32, '0')::uuid, md5('org' || n % 5)::uuid, NULL, 'ACT-SMS', n,
                '2025-08-01'::timestamptz + n * interval '1 second', 'request-' || n, NULL
            FROM generate_series(1, 105) AS n
            """
        )
        # Neither labels nor a time that intake would know.
        session.execute("UPDATE metering_event SET metadata = '[1]' WHERE request_id = 'request-50'")
        session.execute("UPDATE metering_event SET event_time = 'infinity' WHERE request_id = 'request-60'")

    legacy = legacy_world(database_factory, "metering", "event_keys", many)
    legacy.migration.chunk_rows = 10
    # A writer was faster with one of them: its key stays.
    with legacy.session() as session:
        session.execute(
            "INSERT INTO metering_event_key"
            " VALUES (md5('org2')::uuid, 'request-7', sha256('x'), gen_random_uuid(), 3, 9, 8)"
        )
    end = data.run(legacy.engine, legacy.migration, throttle=AT_ONCE)
    assert (end.kind, end.standing.rows_done, end.standing.rows_total, end.details["left"]) == ("done", 103, 103, 0)
    assert legacy.ask("SELECT count(*) FROM metering_event_key") == 104
    assert legacy.rows("SELECT lane, pos, seq FROM metering_event_key WHERE request_id = 'request-7'") == [(3, 9, 8)]
    astray = legacy.ask(
        "SELECT count(*) FROM metering_event_key AS k JOIN metering_event AS e USING (org_id, request_id)"
        " WHERE k.event_id <> e.event_id AND e.request_id <> 'request-7'"
    )
    assert astray == 0
    before = legacy.rows("SELECT k.*, k.xmin FROM metering_event_key AS k ORDER BY request_id")
    with legacy.session() as session:
        session.execute("DELETE FROM data_migration")
    assert data.run(legacy.engine, legacy.migration, throttle=AT_ONCE).standing.rows_done == 0
    assert legacy.rows("SELECT k.*, k.xmin FROM metering_event_key AS k ORDER BY request_id") == before
    legacy.engine.dispose()
    database_factory.drop(legacy.database.name)


def test_the_lane_of_a_key_is_its_organisations(legacy: Legacy) -> None:
    data.run(legacy.engine, legacy.migration, throttle=AT_ONCE)
    places = legacy.rows("SELECT DISTINCT lane, pos, seq FROM metering_event_key")
    assert places == [(lane_of(ORG.bytes), 0, 0)]
