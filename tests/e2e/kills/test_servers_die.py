"""NATS, PostgreSQL and every service are killed (kill -9) in mid-load; nothing is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final

from apportion_cli.ingest.rows import Row
from apportion_client.settings import SERVICES
from harness import COMMITTED, ENQUEUED, FLIGHTS, Refusal, System, refusal, until
from kill_world import (
    SERVICE_ENV,
    Books,
    Table,
    books_of,
    cut,
    events_said,
    first_rows,
    ingest_request,
    is_whole,
    patiently,
    said_since,
    settled,
    streams_are_whole,
    sweep,
)

CALL_EVENTS: Final = 25
UNDER_WAY_CALLS: Final = 8
"""Calls that were answered before a server is killed."""
DOWN_CALLS: Final = 10
"""Calls that are made while PostgreSQL is down."""
COMMITTED_WAIT_S: Final = 2.0
KILL_SPREAD_S: Final = 1.5
"""Services are killed within this time of the load's start."""
SEEN_WITHIN_S: Final = 30.0
SEED: Final = 20130101


class Load:
    """Rows on their way in: small calls one after the other, each sent until it is answered."""

    def __init__(self, system: System, rows: Sequence[Row]) -> None:
        self.answered = 0
        self.rejections: list[Refusal] = []
        self._system = system
        self._rows = rows
        self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        stub = self._system.services.metering.IngestEvents
        for start in range(0, len(self._rows), CALL_EVENTS):
            request = ingest_request(self._rows[start : start + CALL_EVENTS], ENQUEUED)
            answer, rejections = await patiently(stub, request)
            assert answer.accepted_count == len(request.events)
            self.rejections += rejections
            self.answered += 1

    async def calls(self, count: int) -> None:
        """Wait until so many calls were answered."""

        async def enough() -> bool:
            if self._sending.done():
                self._sending.result()
            return self.answered >= count

        await until(enough, SEEN_WITHIN_S, f"{count} calls are answered")

    async def end(self) -> None:
        """Wait until all rows are in."""
        await self._sending


async def test_nats_postgresql_and_every_service_killed_in_mid_load(new_system, clean: Books, table: Table):
    system: System = await new_system(service_env=SERVICE_ENV)
    await system.apply(FLIGHTS)
    rows = first_rows()
    first, second, third = cut(rows, 3)
    await kill_nats(system, first, table)
    await is_whole(system, len(first))
    await kill_postgresql(system, second, table)
    await is_whole(system, len(first) + len(second))
    await kill_services(system, third, table)
    await sweep(system, "after")
    await settled(system)
    await is_whole(system, len(rows))
    await streams_are_whole(system)
    assert await books_of(system) == clean


async def kill_nats(system: System, rows: Sequence[Row], table: Table) -> None:
    """While NATS is down intake says UNAVAILABLE; the client sends again until the stream is back."""
    load = Load(system, rows)
    await load.calls(UNDER_WAY_CALLS)
    posted = await _lines(system)
    await asyncio.to_thread(system.stack.nats.kill)
    refused = await refusal(system.services.metering.IngestEvents(ingest_request(rows[-1:]), timeout=SEEN_WITHIN_S))
    assert refused == Refusal("UNAVAILABLE", "STREAM_UNAVAILABLE")
    assert posted < len(rows)
    assert await _lines(system) < len(rows)
    await asyncio.to_thread(system.stack.nats.start)
    await load.end()
    await settled(system)
    reopened = [
        (await system.metrics(service)).get(f'apportion_lane_reader_reopened_total{{role="{role}"}}', 0)
        for service, role in (
            ("metering", "metering_writer"),
            ("pricing", "pricing_rater"),
            ("ledger", "ledger_poster"),
        )
    ]
    assert load.rejections
    table.add(
        "kill -9 nats-server",
        f"{posted} of {len(rows)} lines posted",
        f"{1 + len(load.rejections)} calls {refused.status} {refused.reason} and sent again;"
        f" {sum(reopened):g} readers made anew",
    )


async def kill_postgresql(system: System, rows: Sequence[Row], table: Table) -> None:
    """While PostgreSQL is down ENQUEUED goes on, COMMITTED says that it is not known."""
    before = await _lines(system)
    load = Load(system, rows)
    await load.calls(UNDER_WAY_CALLS)
    await asyncio.to_thread(system.stack.postgres.kill)
    answered = load.answered
    await load.calls(answered + DOWN_CALLS)
    waiting = ingest_request(rows[:CALL_EVENTS], COMMITTED)
    refused = await refusal(system.services.metering.IngestEvents(waiting, timeout=COMMITTED_WAIT_S))
    assert refused == Refusal("UNAVAILABLE", "COMMIT_UNKNOWN")
    assert not system.stack.postgres.alive
    down = load.answered - answered
    await asyncio.to_thread(system.stack.postgres.start)
    await load.end()
    assert not load.rejections
    answer, _ = await patiently(system.services.metering.IngestEvents, waiting)
    assert answer.duplicate_count == CALL_EVENTS
    await settled(system)
    retries = [
        len([line for line in said_since(system, service) if str(line.get("event")).endswith(".retry")])
        for service in ("metering", "pricing", "ledger")
    ]
    assert sum(retries) > 0
    table.add(
        "kill -9 postgres",
        f"{await _lines(system) - before} lines to come",
        f"{down} calls ENQUEUED while it was down, COMMITTED {refused.reason}; {sum(retries)} retries",
    )


async def kill_services(system: System, rows: Sequence[Row], table: Table) -> None:
    """Each service dies at a moment of its own while the rows come in, and is started again."""
    chance = random.Random(SEED)
    before = await _lines(system)
    marks = {service: len(system.log(service)) for service in SERVICES}
    load = Load(system, rows)
    await load.calls(1)

    async def die(service: str) -> tuple[str, int]:
        await asyncio.sleep(chance.uniform(0, KILL_SPREAD_S))
        await system.kill(service)
        posted = await _lines(system) - before
        await system.start_again(service)
        return service, posted

    deaths = await asyncio.gather(*(die(service) for service in SERVICES))
    await load.end()
    await settled(system)
    for service, posted in deaths:
        lines = said_since(system, service, marks[service])
        taken = [line for line in events_said(lines, "lane.acquired") if line["epoch"] > 1]
        recovered = sum(line["batches"] for line in events_said(lines, "lane.publish.recovered"))
        found = sum(line["batches"] for line in events_said(lines, "lane.publish.found"))
        seen = f"{len(taken)} lanes taken again, {recovered} batches published late, {found} found on the stream"
        refused = f"; {len(load.rejections)} calls refused and sent again" if service == "metering" else ""
        lanes = service in ("metering", "pricing", "ledger")
        assert taken or not lanes
        table.add(
            f"kill -9 {service}", f"{posted} of {len(rows)} lines posted", (seen if lanes else "restarted") + refused
        )
    assert min(posted for _, posted in deaths) < len(rows)


async def _lines(system: System) -> int:
    """Lines in the ledger."""
    [(count,)] = await system.query("ledger", "SELECT count(*) FROM ledger_line")
    return int(count)
