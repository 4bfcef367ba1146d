"""A state in which lanes stand still is said once, in the same words everywhere, and is over when it is over."""

from __future__ import annotations

import asyncio

import lane_toys as toys
import pytest
from apportion_common.clock import SystemClock
from apportion_common.db.unit_of_work import Database
from apportion_common.lanes import LaneRunner
from apportion_common.standstill import SINCE, STANDSTILLS
from nats.aio.client import Client
from structlog.testing import capture_logs

LANES = 8


@pytest.fixture
async def lanes(blank_database, nats_connection: Client) -> Database:  # type: ignore[no-untyped-def]
    database = Database(blank_database().owner_engine, "toy", SystemClock())
    await toys.make_tables(database)
    await toys.make_streams(nats_connection)
    return database


def said(state: str) -> bool:
    return any(line.startswith(f"toy: {state} since") for line in STANDSTILLS.lines())


def since(state: str) -> float:
    return SINCE.labels("toy", state)._value.get()  # type: ignore[no-any-return]


async def test_a_deleted_stream_is_said_once_by_name_and_what_comes_of_it_too(
    lanes: Database, nats_connection: Client
) -> None:
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), lanes=LANES)):
        for lane in range(LANES):
            await toys.send(nats_connection, lane, [lane])

        async def done() -> bool:
            return [await toys.applied(lanes, lane) for lane in range(LANES)] == [[lane] for lane in range(LANES)]

        await toys.until(done)
        with capture_logs() as lines:
            await nats_connection.jetstream().delete_stream("TOY_IN")

            async def missing() -> bool:
                return said("STREAM_MISSING")

            await toys.until(missing)
            await asyncio.sleep(5)  # Long enough for every lane to fail a few times.
        assert since("STREAM_MISSING") > 0
        assert any("stream TOY_IN is not there" in line for line in STANDSTILLS.lines())
        assert [(line["event"], line.get("state")) for line in lines] == [("standstill", "STREAM_MISSING")]
        assert lines[0]["see"] == "docs/runbook.md#stream_missing"
        await nats_connection.jetstream().add_stream(name="TOY_IN", subjects=["toy.in.*"])

        async def stopped() -> bool:
            return said("STREAM_REWOUND") and not said("STREAM_MISSING")

        await toys.until(stopped)
        assert since("STREAM_MISSING") == 0
    assert not said("STREAM_REWOUND")


async def test_a_lane_that_stopped_with_a_gap_is_said_by_every_worker_until_it_is_mended(
    lanes: Database, nats_connection: Client
) -> None:
    await toys.send(nats_connection, 0, [10], 1)
    await toys.send(nats_connection, 0, [30], 3)

    async def stopped() -> bool:
        return said("BATCH_SEQ_GAP")

    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor())):
        await toys.until(stopped)
    # A worker that was not there when it stopped.
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), worker="two")):
        await toys.until(stopped)
        assert "lane 0 stopped" in next(line for line in STANDSTILLS.lines() if "BATCH_SEQ_GAP" in line)
        async with lanes.transaction() as tx:
            await tx.execute("UPDATE lane SET stopped_reason = NULL, pos = 2 WHERE role = 'toy' AND lane = 0")

        async def mended() -> bool:
            return not said("BATCH_SEQ_GAP") and await toys.applied(lanes, 0) == [10, 30]

        await toys.until(mended)


async def test_a_role_whose_flag_is_closed_says_so_until_it_is_open(lanes: Database, nats_connection: Client) -> None:
    closed = True
    runner = LaneRunner(
        lanes,
        nats_connection,
        role="toy",
        source=toys.SOURCE,
        output=toys.OUTPUT,
        processor=toys.ToyProcessor(),
        worker_id="one",
        lease_s=1.5,
        lanes=1,
        paused=lambda: closed,
    )

    async def paused() -> bool:
        return said("PAUSED_BY_FLAG")

    async def going() -> bool:
        return not said("PAUSED_BY_FLAG")

    async with toys.running(runner):
        await toys.until(paused)
        closed = False
        await toys.until(going)
