"""One trace runs from a producer's call to the ledger line, through batches that mix many calls, kills and all.

A call's trace goes on as one child span per process; a batch that mixes calls has a span of its own, and the two are
linked: child to batch, batch to the span that handed each call's entries on.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
import pytest_asyncio
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion_cli.ingest.events import ReadableEvents
from apportion_client.services import CALL_TIMEOUT_S
from apportion_common.ids import lane_of
from apportion_dev.stack.environment import database
from harness import FLIGHTS, ScenarioOrgs, Span, System, org_of, rows_of, until
from psycopg.conninfo import make_conninfo

PREFIX = "traced-"
MIXED, RELAYED, REDELIVERED = "UA", "AA", "DL"
PATH = ("metering.write", "pricing.rate", "ledger.post")
INGEST = "/apportion.metering.v1.MeteringService/IngestEvents"
SPANS_WRITTEN_S = 1.5
"""After which every ended span is in its file: they are written twice a second."""


@dataclass(frozen=True)
class Call:
    """One call of a producer with a trace of its own."""

    org: UUID
    trace_id: str
    span_id: str
    request_ids: tuple[str, ...]

    @property
    def middle(self) -> str:
        """An event in the middle of the call."""
        return self.request_ids[len(self.request_ids) // 2]


async def produce(system: System, org: str, tag: str, events: int = 20) -> Call:
    """Send events of an organisation in one call, as a producer whose own span is the call's parent."""
    row = next(row for row in rows_of(FLIGHTS, 500) if (row.org, row.sku) == (org, "OBJ-MILE"))
    rows = [row._replace(request_id=f"{tag}-{index}") for index in range(events)]
    request = metering.IngestEventsRequest()
    for row in rows:
        ReadableEvents(ScenarioOrgs(PREFIX), PREFIX).add(request, row)
    call = Call(org_of(org, PREFIX), secrets.token_hex(16), secrets.token_hex(8), tuple(row.request_id for row in rows))
    metadata = (("traceparent", f"00-{call.trace_id}-{call.span_id}-01"),)
    answer = await system.services.metering.IngestEvents(request, timeout=CALL_TIMEOUT_S, metadata=metadata)
    assert answer.accepted_count == len(rows)
    return call


@asynccontextmanager
async def lane_held(system: System, service: str, role: str, org: UUID) -> AsyncIterator[None]:
    """Hold an organisation's lane of a role: its owner reads on and waits before it commits."""
    url = make_conninfo(system.stack.postgres.admin_url, dbname=database(service))
    async with await psycopg.AsyncConnection.connect(url) as connection:
        held = await connection.execute(
            "SELECT 1 FROM lane WHERE role = %s AND lane = %s FOR UPDATE", (role, lane_of(org.bytes))
        )
        assert await held.fetchall() == [(1,)]
        yield
        await connection.rollback()


def one(spans: list[Span], **wanted: Any) -> Span:
    """The only span whose fields are as wanted."""
    found = [span for span in spans if all(span[name] == value for name, value in wanted.items())]
    assert len(found) == 1, (wanted, len(found))
    return found[0]


def linked(span: Span) -> set[tuple[str, str]]:
    """Trace and span ids of a span's links."""
    return {(link["trace_id"], link["span_id"]) for link in span["links"]}


def identity(span: Span) -> tuple[str, str]:
    """Trace and span id of a span."""
    return span["trace_id"], span["span_id"]


async def line_of(system: System, org: UUID, request_id: str) -> ledger.LedgerLine:
    """The ledger line of an event."""
    status = (await system.event_statuses(org, [request_id]))[request_id]
    assert status.state == metering.EVENT_STATE_POSTED
    [line] = [line for line in await system.lines(org_id=str(org)) if line.event_id == status.event_id]
    return line


async def assert_traced(system: System, call: Call) -> list[Span]:
    """Assert every edge from the producer's span to the line of the call's middle event; gives the path's spans."""
    line = await line_of(system, call.org, call.middle)

    def whole(spans: list[Span]) -> bool:
        return {INGEST, *PATH} <= {span["name"] for span in spans if span["trace_id"] == call.trace_id}

    spans = await system.wait_spans(whole)
    mine = [span for span in spans if span["trace_id"] == call.trace_id]

    server = one(mine, name=INGEST, kind="SERVER")
    assert server["parent_span_id"] == call.span_id
    assert server["service"] == "metering"
    assert server["attributes"]["rpc.system.name"] == "grpc"
    assert server["attributes"]["rpc.method"] == INGEST.removeprefix("/")
    assert server["attributes"]["rpc.response.status_code"] == "OK"
    path = [server]
    for name in PATH:
        before = path[-1]
        # A call's events may lie in several batches; the one is meant that holds the line.
        nexts = [
            span
            for span in mine
            if (span["name"], span["parent_span_id"]) == (name, before["span_id"])
            and span["attributes"]["lane"] == line.lane
        ]
        assert nexts, f"no {name} below {before['name']}"
        span = nexts[-1]
        path.append(span)
        [batch_identity] = linked(span)
        batch = one(spans, trace_id=batch_identity[0], span_id=batch_identity[1])
        assert batch["name"] == f"{name}.batch"
        for of_messages in (span, batch):
            assert of_messages["attributes"]["messaging.system"] == "nats"
            assert of_messages["attributes"]["messaging.operation.type"] == "process"
            assert of_messages["attributes"]["messaging.destination.partition.id"] == str(line.lane)
        assert batch["trace_id"] != call.trace_id
        assert identity(before) in linked(batch)
    write = path[1]
    assert (write["attributes"]["lane"], write["attributes"]["batch_seq"]) == (line.lane, line.batch_seq)
    assert [span["service"] for span in path] == ["metering", "metering", "pricing", "ledger"]

    # From the trace to the line: lane and batch number of the write are those of the line's row.
    rows = await system.query(
        "ledger",
        "SELECT entry_id::text FROM ledger_line WHERE lane = %s AND pos = %s",
        write["attributes"]["lane"],
        write["attributes"]["batch_seq"],
    )
    assert line.entry_id in {entry for (entry,) in rows}
    return path


def batch_of(spans: list[Span], child: Span) -> Span:
    """The batch span that a call's span is linked to."""
    [(trace_id, span_id)] = linked(child)
    return one(spans, trace_id=trace_id, span_id=span_id)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def breakable(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """A stack whose processes these tests may end."""
    system = await System.start(tmp_path_factory.mktemp("traced") / "stack")
    await system.apply(FLIGHTS, PREFIX)
    yield system
    await system.close()


async def test_one_trace_runs_from_the_call_to_the_line_of_an_event_in_mid_batch(breakable: System) -> None:
    # While the writer waits for its lane, calls pile up that it must then take into common batches.
    async with lane_held(breakable, "metering", "metering_writer", org_of(MIXED, PREFIX)):
        calls = [await produce(breakable, MIXED, f"mixed-{number}") for number in range(6)]
    await breakable.wait_drained()
    paths = [await assert_traced(breakable, call) for call in calls]
    spans = breakable.spans()
    batches = [batch_of(spans, path[1]) for path in paths]
    assert len({identity(batch) for batch in batches}) < len(calls)
    shared = batches[len(calls) // 2]
    callers = {
        identity(path[0]) for path, batch in zip(paths, batches, strict=True) if identity(batch) == identity(shared)
    }
    assert len(callers) > 1
    assert linked(shared) == callers


async def test_the_trace_goes_on_after_a_relay_restart(breakable: System) -> None:
    system, org = breakable, org_of(RELAYED, PREFIX)
    nats = system.stack.nats.pid
    assert nats is not None

    async def committed() -> bool:
        found = await system.query("metering", "SELECT count(*) FROM metering_event WHERE org_id = %s", org)
        return found == [(20,)]

    # The batch is committed while the stream cannot be reached, and its process is killed before it can publish.
    async with lane_held(system, "metering", "metering_writer", org):
        call = await produce(system, RELAYED, "relayed")
        await asyncio.sleep(SPANS_WRITTEN_S)
        os.kill(nats, signal.SIGSTOP)
    try:
        await until(committed, 10, "the batch is committed")
        await asyncio.sleep(SPANS_WRITTEN_S)
        await system.kill("metering")
    finally:
        os.kill(nats, signal.SIGCONT)
    unpublished = await system.query(
        "metering",
        "SELECT count(*) FROM lane_outbox JOIN lane USING (role, lane)"
        " WHERE role = 'metering_writer' AND lane = %s AND lane_outbox.pos > lane.out_pos",
        lane_of(org.bytes),
    )
    assert unpublished == [(1,)]
    assert await system.lines(org_id=str(org)) == []

    await system.start_again("metering")
    await system.wait_drained()
    await assert_traced(system, call)
    writes = [span for span in system.spans() if (span["name"], span["trace_id"]) == ("metering.write", call.trace_id)]
    assert len(writes) == 1
    assert len(await system.lines(org_id=str(org))) == 20


async def test_the_trace_goes_on_after_a_redelivery(breakable: System) -> None:
    system, org = breakable, org_of(REDELIVERED, PREFIX)
    for service, role in (("pricing", "pricing_rater"), ("ledger", "ledger_poster")):
        # Everything of the batch is done but its commit; the batch comes again to the next life.
        await system.restart(service, FAIL_POINT=f"{role}.after_execute")
        system.expect_exit(service)
        call = await produce(system, REDELIVERED, role)
        assert await system.wait_exit(service) == -signal.SIGKILL
        assert f'"fail_point": "{role}.after_execute"' in system.log(service)
        await system.start_again(service)
        await system.wait_drained()
        await assert_traced(system, call)
    lines = await system.lines(org_id=str(org))
    assert len(lines) == len({line.charge_id for line in lines}) == 40
    await system.check_ledger()
