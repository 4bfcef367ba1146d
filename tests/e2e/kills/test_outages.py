"""NATS gives no answer for longer than its pings may take; the command that sends usage waits and goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Final

from apportion.metering.v1 import metering_service_pb2 as metering
from apportion_common.bus.connection import OUTSTANDING_PINGS_MAX, PING_INTERVAL_S
from apportion_dev.stack.environment import machine_environment
from harness import COMMITTED, ENQUEUED, FIRST_EVENTS, FLIGHTS, ROOT, Refusal, System, refusal, until
from kill_world import (
    SERVICE_ENV,
    Books,
    Table,
    books_of,
    first_rows,
    ingest_request,
    is_whole,
    settled,
    streams_are_whole,
)

CALL_EVENTS: Final = 20
TAKEN_BEFORE: Final = 200
AWAY_S: Final = PING_INTERVAL_S * (OUTSTANDING_PINGS_MAX + 2)
"""Longer than it takes until a silent server is given up."""
TIMEOUT_S: Final = 60.0
COMMAND: Final = Path(sys.executable).parent / "apportion"


async def test_a_file_is_sent_whole_and_once_through_an_outage_of_the_stream(new_system, clean: Books, table: Table):
    system: System = await new_system(service_env=SERVICE_ENV)
    await system.apply(FLIGHTS)
    sending = await asyncio.create_subprocess_exec(
        str(COMMAND),
        *("ingest", str(FLIGHTS / "events.csv.gz"), "--limit", str(FIRST_EVENTS), "--batch", str(CALL_EVENTS)),
        cwd=ROOT,
        env={**machine_environment(), **system.environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    await until(lambda: taken(system), TIMEOUT_S, "the file is on its way")
    await outage(system)
    out, _ = await sending.communicate()
    said = [line for line in out.decode().splitlines() if not line.startswith("ingest: ")]
    assert sending.returncode == 0, said
    begun, over, total, told = said
    assert begun.startswith("No answer since 20"), said
    assert "UNAVAILABLE STREAM_UNAVAILABLE" in begun
    assert over.startswith("Answered again, after "), said
    assert f"{FIRST_EVENTS:,} enqueued, 0 rejected" in total, total
    assert told.startswith("Enqueued is on the stream's disk"), told
    await settled(system)
    await is_whole(system, FIRST_EVENTS)
    await streams_are_whole(system)
    books = await books_of(system)
    # When partners are paid depends on which organisations' calls come together; what they earn does not.
    assert (books.digest, books.coarse_digest) == (clean.digest, clean.coarse_digest)
    assert books.money["lines"] == clean.money["lines"]
    table.add("nats-server silent", f"for {AWAY_S:g} s in mid-file", over)


async def taken(system: System) -> bool:
    """Whether metering has taken the first events."""
    found = (await system.metrics("metering")).get('apportion_metering_taken_total{acknowledgement="enqueued"}', 0)
    return found >= TAKEN_BEFORE


async def outage(system: System) -> None:
    """Stop NATS where it stands, see what calls and the status answer meanwhile, and let it go on."""
    pid = system.stack.nats.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        for ack in (ENQUEUED, COMMITTED):
            call = system.services.metering.IngestEvents(ingest_request(first_rows()[-1:], ack), timeout=TIMEOUT_S)
            assert await refusal(call) == Refusal("UNAVAILABLE", "STREAM_UNAVAILABLE")
        status = await system.pipeline()
        assert status.stream_condition == metering.STREAM_CONDITION_UNREACHABLE
        assert not status.drained
        await asyncio.sleep(AWAY_S)
        later = await system.pipeline()
        assert later.stream_condition == metering.STREAM_CONDITION_UNREACHABLE
        assert later.stream_condition_since == status.stream_condition_since
    finally:
        os.kill(pid, signal.SIGCONT)
