"""What the tests of kills share: slices of January, what must hold after each, and the table of what was seen."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import grpc
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion_cli.ingest.events import ReadableEvents
from apportion_cli.ingest.rows import Row
from apportion_common.bus.connection import connect
from apportion_common.bus.publish import MESSAGE_ID
from apportion_common.bus.rights import API_PREFIX, OPERATOR
from apportion_common.lanes.publisher import BATCH_SEQ_HEADER
from apportion_common.topology import (
    EVENTS,
    LEDGER_OUT,
    METERING_OUT,
    POSTER_ROLE,
    PRICING_OUT,
    RATER_ROLE,
    WRITER_ROLE,
)
from apportion_dev.testing.servers import NatsAccess
from harness import ENQUEUED, FIRST_EVENTS, FLIGHTS, Refusal, ScenarioOrgs, System, refusal, rows_of, until
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig
from pydantic import SecretStr

WEEK: Final = "2013-W01"
"""The ISO week of the first 4,000 events."""
SERVICE_ENV: Final[Mapping[str, Mapping[str, str]]] = {"ledger": {"LEDGER_REAL_TIME_THRESHOLD": "AUD:5"}}
"""Lower than the scenario's, so that every slice has lines that are paid out at once."""
PUBLISHERS: Final = {"metering": WRITER_ROLE, "pricing": RATER_ROLE, "ledger": POSTER_ROLE}
RELAYING: Final = ("metering", "pricing", "orgs", "identity")
CALL_S: Final = 12.0
"""Deadline of one call; less than what a test waits for."""
RESEND_S: Final = 0.1
SETTLE_S: Final = 60.0
FETCHED: Final = 500
INACTIVE_S: Final = 10

_ANSWERLESS: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

JsonLine = dict[str, Any]


@dataclass
class SentSlice:
    """How a slice's call went: the answer that came in the end, and the refusals before."""

    answer: metering.IngestEventsResponse
    rejections: list[Refusal] = field(default_factory=list)


@dataclass(frozen=True)
class Books:
    """What two ledgers fed the same events must have in common."""

    digest: str
    coarse_digest: str
    money: Mapping[str, list[tuple[Any, ...]]]


def first_rows() -> list[Row]:
    """The first 4,000 events of January."""
    return rows_of(FLIGHTS, FIRST_EVENTS)


def cut(rows: Sequence[Row], parts: int) -> list[Sequence[Row]]:
    """The rows in that many slices, in order."""
    bounds = [len(rows) * number // parts for number in range(parts + 1)]
    return [rows[start:end] for start, end in itertools.pairwise(bounds)]


def ingest_request(rows: Sequence[Row], ack: metering.Acknowledgement = ENQUEUED) -> metering.IngestEventsRequest:
    """One call with all the rows."""
    events, request = ReadableEvents(ScenarioOrgs(), ""), metering.IngestEventsRequest(acknowledgement=ack)
    for row in rows:
        events.add(request, row)
    return request


async def patiently(stub: Any, request: Any) -> tuple[Any, list[Refusal]]:
    """Repeat a call, the same request each time, until it is answered; gives the refusals before."""
    rejections: list[Refusal] = []
    while True:
        try:
            return await stub(request, timeout=CALL_S), rejections
        except grpc.aio.AioRpcError as error:
            if error.code() not in _ANSWERLESS:
                raise
            rejections.append(await refusal(_raise(error)))
        await asyncio.sleep(RESEND_S)


async def _raise(error: Exception) -> None:
    raise error


async def send_slice(
    system: System, rows: Sequence[Row], ack: metering.Acknowledgement, *, size: int | None = None
) -> SentSlice:
    """Send rows in calls of `size`, one after the other, each as often as it takes; the last answer, all refusals."""
    sent = SentSlice(metering.IngestEventsResponse())
    for start in range(0, len(rows), size or len(rows)):
        chunk = rows[start : start + (size or len(rows))]
        answer, rejections = await patiently(system.services.metering.IngestEvents, ingest_request(chunk, ack))
        assert not answer.rejections
        sent.answer.MergeFrom(answer)
        sent.rejections += rejections
    return sent


# --- what must hold --------------------------------------------------------------------------------------------


async def settled(system: System) -> None:
    """Wait until everything is posted, answered, published, marked as published and paid out."""
    await system.wait_drained(SETTLE_S)

    async def marked() -> bool:
        for service, role in PUBLISHERS.items():
            if await system.query(service, "SELECT 1 FROM lane WHERE role = %s AND out_pos <> pos LIMIT 1", role):
                return False
        for service in RELAYING:
            if await system.query(service, "SELECT 1 FROM outbox WHERE published_at IS NULL LIMIT 1"):
                return False
        return not await system.query("ledger", "SELECT 1 FROM settlement WHERE state = 'pending' LIMIT 1")

    await until(marked, SETTLE_S, "every batch is marked as published and every payout made")


async def is_whole(system: System, events: int) -> None:
    """Each of the events is there once at every step, and the ledger's books are in order."""
    [stored] = await system.query(
        "metering",
        "SELECT (SELECT count(*) FROM metering_event), (SELECT count(DISTINCT event_id) FROM metering_event),"
        " (SELECT count(*) FROM metering_event_key), (SELECT count(*) FROM dead_letter)",
    )
    assert stored == (events, events, events, 0), "events, distinct events, keys, dead letters"
    [rated] = await system.query(
        "pricing", "SELECT count(*), count(DISTINCT charge_id), count(DISTINCT event_id) FROM charge"
    )
    assert rated == (events, events, events), "charges, distinct charges, charged events"
    [posted] = await system.query(
        "ledger",
        "SELECT count(*), count(DISTINCT charge_id), count(DISTINCT entry_id),"
        " (SELECT count(*) FROM ledger_charge_key) FROM ledger_line",
    )
    assert posted == (events, events, events, events), "lines, distinct charges, distinct entries, charge keys"
    [paid] = await system.query(
        "ledger",
        "SELECT (SELECT count(*) FROM settlement WHERE state = 'paid'), count(*), count(DISTINCT settlement_id)"
        " FROM payout_instruction",
    )
    assert len(set(paid)) == 1, "paid settlements, instructions, distinct instructions"
    await system.check_ledger()


async def books_of(system: System) -> Books:
    """Digest and sums of a ledger."""
    digest = await system.digest()
    money = {
        name: await system.query("ledger", text)
        for name, text in {
            "lines": "SELECT count(*), sum(amount_gross), sum(partner_amount), sum(net) FROM ledger_line",
            "settlements": "SELECT kind, state, count(*), sum(amount) FROM settlement GROUP BY 1, 2 ORDER BY 1, 2",
            "balances": "SELECT partner_id, currency, earned, paid_real_time, paid_sweep FROM partner_balance"
            " ORDER BY 1, 2",
        }.items()
    }
    return Books(digest.digest, digest.coarse_digest, money)


async def sweep(system: System, request_id: str) -> tuple[ledger.RunSweepResponse, list[Refusal]]:
    """Run the week's sweep until it is answered."""
    request = ledger.RunSweepRequest(week=WEEK, request_id=request_id)
    return await patiently(system.services.ledger.RunSweep, request)


async def streams_are_whole(system: System) -> None:
    """Every lane's batches are on each stream once, in order and without a gap; so is every announcement."""
    async with nats_of(system) as client:
        for stream, service in ((METERING_OUT, "metering"), (PRICING_OUT, "pricing"), (LEDGER_OUT, "ledger")):
            found: dict[int, list[int]] = defaultdict(list)
            for message in await _messages(client, stream.name):
                found[int(message.subject.rpartition(".")[2])].append(int((message.headers or {})[BATCH_SEQ_HEADER]))
            role = PUBLISHERS[service]
            rows = await system.query(service, "SELECT lane, pos FROM lane WHERE role = %s AND pos > 0", role)
            assert found == {lane: list(range(1, batch_seq + 1)) for lane, batch_seq in rows}, stream.name
        told = Counter((message.headers or {})[MESSAGE_ID] for message in await _messages(client, EVENTS.name))
        written: Counter[str] = Counter()
        for service in RELAYING:
            written.update(msg_id for (msg_id,) in await system.query(service, "SELECT msg_id FROM outbox"))
        assert told == written, "announcements on the stream are those in the outboxes, once each"


@asynccontextmanager
async def nats_of(system: System) -> AsyncIterator[Client]:
    """A connection to the stack's NATS server, as whoever may look into every stream."""
    stack = system.stack
    password = SecretStr(stack.passwords.nats[OPERATOR])
    access = NatsAccess(stack.nats.url, OPERATOR, password, stack.keys.ca.certificate_file, API_PREFIX)
    client = await connect(access, "kills")
    try:
        yield client
    finally:
        await client.close()


async def _messages(client: Client, stream: str) -> list[Msg]:
    """The headers of all messages of a stream."""
    js = client.jetstream()
    count = (await js.stream_info(stream)).state.messages
    name = f"kills-{uuid4().hex}"
    await js.add_consumer(
        stream,
        ConsumerConfig(
            name=name, ack_policy=AckPolicy.NONE, headers_only=True, mem_storage=True, inactive_threshold=INACTIVE_S
        ),
    )
    subscription = await js.pull_subscribe_bind(consumer=name, stream=stream)
    found: list[Msg] = []
    while len(found) < count:
        found += await subscription.fetch(min(FETCHED, count - len(found)))
    await js.delete_consumer(stream, name)
    return found


# --- what a process said ---------------------------------------------------------------------------------------


def said_since(system: System, name: str, start: int = 0) -> list[JsonLine]:
    """The JSON lines of a process's log from a character on."""
    lines = system.log(name)[start:].splitlines(keepends=True)
    found = []
    for line in lines:
        if line.startswith("{") and line.endswith("}\n"):
            found.append(json.loads(line))
    return found


def events_said(lines: Sequence[JsonLine], event: str, **values: object) -> list[JsonLine]:
    """The log lines of an event whose fields have these values."""
    wanted = {"event": event, **values}
    return [line for line in lines if all(line.get(key) == value for key, value in wanted.items())]


class Table:
    """What was seen, for the end of the test run."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, ...]] = []

    def add(self, *cells: object) -> None:
        """One row."""
        self.rows.append(tuple(str(cell) for cell in cells))

    def lines(self) -> list[str]:
        """The rows in columns."""
        widths = [max(len(row[i]) for row in self.rows if i < len(row)) for i in range(max(map(len, self.rows)))]
        return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) for row in self.rows]
