"""Killed or stopped at any place, the writer loses nothing, doubles nothing and leaves no gap."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from apportion.metering.v1.lane_pb2 import AcceptedBatch
from apportion_client.lane_messages import expand_accepted
from apportion_common.db.engine import make_engine
from apportion_common.db.unit_of_work import Database
from apportion_dev.local.nats import LocalNats
from apportion_dev.testing.databases import ServiceDatabase
from apportion_dev.testing.servers import NatsAccess
from metering_harness import MeteringHarness, metering_on, usage_event
from metering_process import Service, prepared_service

ORGS = 48
CALLS = 6
STOPPED_STATE = "T"
END_S = 60
POOL_SIZE = 8
GIVEN_UP = ("lane.retry", "lane.fenced")


async def load(metering: MeteringHarness, first: int) -> None:
    """Three calls of 240 events each."""
    for part in range(first, first + CALLS // 2):
        await metering.take([usage_event(f"{part}-{n}", org=UUID(int=n % ORGS + 1)) for n in range(240)])
        await asyncio.sleep(0.3)


async def is_whole(metering: MeteringHarness) -> None:
    """Every event is stored once, seq has no gap, and pricing gets each of them once in that order."""
    await metering.until_written(CALLS * 240)
    rows = await metering.rows("SELECT lane, array_agg(seq ORDER BY seq) AS seqs FROM metering_event GROUP BY lane")
    assert sum(len(row.seqs) for row in rows) == CALLS * 240

    async def given_on() -> bool:
        count = 0
        for row in rows:
            batches = await metering.published("METERING_OUT", f"metering.accepted.{row.lane}")
            read = [expand_accepted(AcceptedBatch.FromString(batch)) for batch in batches]
            assert [batch.batch_seq for batch in read] == list(range(1, len(read) + 1))
            assert [entry.entry_seq for batch in read for entry in batch.entries] == row.seqs[
                : sum(len(b.entries) for b in read)
            ]
            count += sum(len(batch.entries) for batch in read)
        return count == CALLS * 240

    await metering.until(given_on)


async def ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for the process's end."""
    return await asyncio.wait_for(asyncio.to_thread(process.wait), END_S)


async def is_stopped(process: subprocess.Popen[bytes]) -> bool:
    status = await asyncio.to_thread(Path(f"/proc/{process.pid}/stat").read_text)
    return status.rpartition(")")[2].split()[0] == STOPPED_STATE


async def has_given_up(service: Service) -> bool:
    """Whether the process that was stopped noted that what it had begun to write is not its to write any more."""
    text = await asyncio.to_thread(service.log.read_text)
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line[0] == "{" and line[-1] == "\n"]
    place = next(number for number, line in enumerate(lines) if "fail_point" in line)
    began = (lines[place]["lane"], "metering_writer")
    return any(
        (line.get("lane"), line.get("role")) == began and line["event"] in GIVEN_UP for line in lines[place + 1 :]
    )


@pytest.fixture
def prepared(
    tmp_path: Path,
    service_database: Callable[[str], ServiceDatabase],
    durable_nats: tuple[LocalNats, NatsAccess],
):
    database = service_database("metering")
    with prepared_service(tmp_path, database, durable_nats) as made:
        yield made, database


@pytest.mark.parametrize("place", ["after_execute", "after_commit", "after_publish", "before_ack"])
async def test_a_kill_loses_and_doubles_nothing(
    prepared: tuple[Service, ServiceDatabase], durable_nats: tuple[LocalNats, NatsAccess], place: str
):
    service, database = prepared
    processes: list[subprocess.Popen[bytes]] = []
    try:
        async with metering_on(database, durable_nats) as metering:
            armed = f"metering_writer.{place}:5"
            processes.append(service.start(FAIL_POINT=armed, WORKER_ID="writer", LANE_LEASE_S="2"))
            await load(metering, 0)
            assert await ended(processes[0]) == -signal.SIGKILL, service.log.read_text()[-2000:]
            processes.append(service.start(WORKER_ID="writer", LANE_LEASE_S="2"))
            await load(metering, CALLS // 2)
            await is_whole(metering)
    finally:
        for process in processes:
            process.kill()
            process.wait()


async def test_a_worker_stopped_for_longer_than_its_lease_cannot_write(
    prepared: tuple[Service, ServiceDatabase], durable_nats: tuple[LocalNats, NatsAccess]
):
    service, database = prepared
    async with metering_on(database, durable_nats) as metering:
        paused = service.start(FAIL_POINT="metering_writer.after_execute:5:stop", WORKER_ID="paused", LANE_LEASE_S="2")
        try:
            await load(metering, 0)
            await metering.until(lambda: is_stopped(paused))
            # Under the service's own name, as only its own silent sessions are a worker's to end.
            engine = make_engine(database.app_url, "metering/other", POOL_SIZE)
            other = replace(metering, database=Database(engine, "metering", metering.clock))
            async with other.worker("other"):
                await load(metering, CALLS // 2)
                await metering.until_written(CALLS * 240)
                paused.send_signal(signal.SIGCONT)
                await metering.until(lambda: has_given_up(service))
                await is_whole(metering)
            await engine.dispose()
        finally:
            paused.kill()
            paused.wait()
