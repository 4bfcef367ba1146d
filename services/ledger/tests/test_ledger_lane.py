"""The poster on its lane: from pricing's stream to the receipts, over real NATS and PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from apportion.ledger.v1 import lane_pb2
from apportion.pricing.v1 import lane_pb2 as pricing_lane_pb2
from apportion_common import failpoints
from apportion_common.clock import SystemClock
from apportion_common.flags import Flags
from apportion_common.run import Runtime
from apportion_common.topology import POSTER_ROLE
from apportion_ledger.app.payouts import AFTER_INSTRUCTION
from apportion_ledger.consumers.poster import OUTPUT, SOURCE, poster_runner
from apportion_ledger.flags import FLAGS
from apportion_ledger.wiring import SERVICE_NAME, build
from ledger_harness import LedgerHarness, settings_of
from nats.aio.client import Client

PATIENCE_S = 60
POLL_S = 0.05
CLOSED_S = 1.5
"""Longer than a payout job and a lane runner wait between two looks."""

pytestmark = pytest.mark.usefixtures("streams")


@contextlib.asynccontextmanager
async def poster(ledger: LedgerHarness, client: Client, worker_id: str = "worker") -> AsyncIterator[None]:
    """Run the poster's lanes meanwhile."""
    stop = asyncio.Event()
    runner = poster_runner(
        ledger.database, client, ledger.parts.poster, worker_id=worker_id, lease_s=3, paused=lambda: False
    )
    task = asyncio.create_task(runner.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def publish(client: Client, batches: Sequence[pricing_lane_pb2.RatedBatch]) -> None:
    """Put rated batches onto pricing's stream."""
    js = client.jetstream()
    for batch in batches:
        await js.publish(f"{SOURCE.subject}.{batch.lane}", batch.SerializeToString())


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something outside this process holds, at most PATIENCE_S."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in a server
            await asyncio.sleep(POLL_S)


async def receipts(client: Client, count: int) -> list[lane_pb2.PostedBatch]:
    """The first receipts on the stream, as soon as they are there."""
    js = client.jetstream()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            info = await js.stream_info(OUTPUT.stream)
            if info.state.messages >= count:
                break
            await asyncio.sleep(POLL_S)
    found = [await js.get_msg(OUTPUT.stream, seq) for seq in range(1, info.state.last_seq + 1)]
    return [lane_pb2.PostedBatch.FromString(message.data or b"") for message in found]


async def test_rated_batches_become_lines_and_receipts_in_order(ledger: LedgerHarness, nats_connection: Client) -> None:
    await ledger.credited()
    batches = [ledger.batch([ledger.charge("60"), ledger.charge("1")], lane=lane) for lane in (4, 9, 4, 4, 9)]
    batches.append(ledger.batch([], lane=9))
    await publish(nats_connection, batches)
    async with poster(ledger, nats_connection):
        found = await receipts(nats_connection, len(batches))
    for lane in (4, 9):
        assert [receipt.batch_seq for receipt in found if receipt.lane == lane] == [1, 2, 3]
    assert sum(receipt.line_count for receipt in found) == 10
    assert len(await ledger.lines()) == 10
    assert not await ledger.breaches()


async def test_batches_that_come_again_are_written_once(ledger: LedgerHarness, nats_connection: Client) -> None:
    await ledger.credited()
    batches = [ledger.batch([ledger.charge("60")], lane=4) for _ in range(3)]
    await publish(nats_connection, [batches[0], batches[1], batches[0], batches[1], batches[2]])
    async with poster(ledger, nats_connection):
        found = await receipts(nats_connection, 3)
    assert [receipt.batch_seq for receipt in found] == [1, 2, 3]
    assert ledger.as_owner("SELECT count(*) FROM settlement") == [(3,)]
    assert not await ledger.breaches()


async def test_a_missing_batch_stops_the_lane_and_says_so(ledger: LedgerHarness, nats_connection: Client) -> None:
    batches = [ledger.batch([ledger.charge("1")], lane=4) for _ in range(3)]
    await publish(nats_connection, [batches[0], batches[2]])
    query = "SELECT pos, stopped_reason FROM lane WHERE role = 'ledger_poster' AND lane = 4"
    async with poster(ledger, nats_connection):
        await until(lambda: ledger.as_owner(query) == [(1, "BATCH_SEQ_GAP")])
    assert len(await ledger.lines()) == 1


async def test_a_charge_that_cannot_be_written_does_not_hold_up_its_lane(
    ledger: LedgerHarness, nats_connection: Client
) -> None:
    bad = ledger.charge("1")
    bad.sku = "ACT-\0"
    batches = [
        ledger.batch([ledger.charge("1")], lane=4),
        ledger.batch([ledger.charge("2"), bad, ledger.charge("3")], lane=4),
        ledger.batch([ledger.charge("4")], lane=4),
    ]
    await publish(nats_connection, batches)
    async with poster(ledger, nats_connection):
        found = await receipts(nats_connection, 3)
    assert [receipt.line_count for receipt in found] == [1, 2, 1]
    assert [len(receipt.conflicts) for receipt in found] == [0, 1, 0]
    assert found[1].conflicts[0].detail.startswith("PROCESSING_FAILED")


async def test_two_workers_share_the_lanes_and_write_every_line_once(
    ledger: LedgerHarness, nats_connection: Client
) -> None:
    await ledger.credited()
    batches = [
        ledger.batch([ledger.charge("60"), ledger.charge("2")], lane=lane) for lane in range(32) for _ in range(2)
    ]
    async with poster(ledger, nats_connection, "one"), poster(ledger, nats_connection, "two"):
        await publish(nats_connection, batches)
        await receipts(nats_connection, len(batches))
    assert len(await ledger.lines()) == 128
    assert ledger.as_owner("SELECT count(*) FROM settlement") == [(64,)]
    assert not await ledger.breaches()


async def test_the_wiring_serves_the_ledger_and_works_its_lanes_once_its_feature_is_open(
    ledger: LedgerHarness, nats_connection: Client, tmp_path: Path
) -> None:
    settings = settings_of().model_copy(update={"worker_id": "worker", "lane_lease_s": 3})
    unused = cast(Any, None)
    file = tmp_path / "flags"
    flags = Flags("ledger", environ={}, file=file)
    runtime = Runtime(
        settings, SystemClock(), ledger.database, nats_connection, nats_connection.jetstream(), unused, unused, flags
    )
    await build(runtime)
    assert runtime.gates == [(flags, FLAGS)]
    assert runtime.service_names == [SERVICE_NAME]
    assert set(runtime.tasks) == {"poster", "payouts", "partitions"}
    stop = asyncio.Event()
    await ledger.credited()
    # Decided before the feature was closed, and not paid while it is.
    await ledger.charged(ledger.charge("70"))
    await publish(nats_connection, [ledger.batch([ledger.charge("60")], lane=4)])
    tasks = [asyncio.create_task(task(stop)) for task in runtime.tasks.values()]
    await until(lambda: ledger.as_owner("SELECT count(*) FROM lane") == [(32,)])
    await asyncio.sleep(CLOSED_S)
    assert ledger.as_owner("SELECT state FROM settlement") == [("pending",)]
    assert ledger.as_owner("SELECT max(pos), max(owner) FROM lane WHERE lane <> 3") == [(0, "")]
    file.write_text("FEATURE_POR_LEDGER=on\n")
    await until(lambda: ledger.as_owner("SELECT state FROM settlement") == [("paid",), ("paid",)])
    stop.set()
    await asyncio.gather(*tasks)


def test_every_fail_point_of_the_ledger_is_known() -> None:
    places = {f"{POSTER_ROLE}.{place}" for place in ("after_execute", "after_commit", "after_publish", "before_ack")}
    assert places | {AFTER_INSTRUCTION} <= failpoints.KNOWN
