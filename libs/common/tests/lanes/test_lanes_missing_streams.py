"""A stream that is deleted under lanes is noticed at once, said once, and waited for; what comes anew is judged."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import lane_toys as toys
import pytest
from apportion_common.clock import SystemClock
from apportion_common.db.unit_of_work import Database
from nats.aio.client import Client
from nats.js.api import StreamConfig
from sqlalchemy import text
from structlog.testing import capture_logs

QUIET_S = 3.0
"""For what is not to be said again and again."""


@pytest.fixture
async def lanes(blank_database, nats_connection: Client) -> Database:  # type: ignore[no-untyped-def]
    database = Database(blank_database().owner_engine, "toy", SystemClock())
    await toys.make_tables(database)
    await toys.make_streams(nats_connection)
    return database


async def all_applied(lanes: Database, values: list[int], count: int) -> bool:
    return all([await toys.applied(lanes, lane) == values for lane in range(count)])


async def reasons(lanes: Database) -> set[str | None]:
    async with lanes.read() as connection:
        return set((await connection.execute(text("SELECT stopped_reason FROM lane"))).scalars())


@pytest.mark.parametrize("stream", ["TOY_IN", "TOY_OUT"])
async def test_a_stream_deleted_under_lanes_is_said_once_with_its_reason_and_floods_no_log(
    lanes: Database, nats_connection: Client, stream: str
) -> None:
    count = 16
    with capture_logs() as said:
        await _delete_under_lanes(lanes, nats_connection, stream, count, said)
    (line,) = [line for line in said if line["event"] == "standstill"]
    assert (line["state"], line["detail"]) == ("STREAM_MISSING", f"stream {stream} is not there")
    loud = [line for line in said if line["log_level"] != "info"]
    assert len(loud) <= 3, loud
    assert await reasons(lanes) == {None}, "a missing stream is waited for"


async def _delete_under_lanes(
    lanes: Database, nats_connection: Client, stream: str, count: int, said: list[MutableMapping[str, Any]]
) -> None:
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), lanes=count)):
        for lane in range(count):
            await toys.send(nats_connection, lane, [1])
        await toys.until(lambda: all_applied(lanes, [1], count))
        await nats_connection.jetstream().delete_stream(stream)
        if stream == "TOY_OUT":
            for lane in range(count):
                await toys.send(nats_connection, lane, [2])

        async def noticed() -> bool:
            return any(line["event"] == "standstill" for line in said)

        await toys.until(noticed)
        await asyncio.sleep(QUIET_S)


async def test_a_deleted_input_that_is_made_anew_stops_its_lanes_with_a_reason(
    lanes: Database, nats_connection: Client
) -> None:
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor())):
        for lane in (0, 1):
            await toys.send(nats_connection, lane, [1])
        await toys.until(lambda: all_applied(lanes, [1], 2))
        await toys.make_streams(nats_connection)

        async def stopped() -> bool:
            return await reasons(lanes) == {"STREAM_REWOUND"}

        await toys.until(stopped)


async def test_lanes_that_were_started_before_their_streams_wait_and_then_work(
    lanes: Database, nats_connection: Client
) -> None:
    js = nats_connection.jetstream()
    await js.delete_stream("TOY_IN")
    await js.delete_stream("TOY_OUT")
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor())):
        await asyncio.sleep(1)
        await js.add_stream(StreamConfig(name="TOY_IN", subjects=["toy.in.*"]))
        await asyncio.sleep(0.5)
        await js.add_stream(StreamConfig(name="TOY_OUT", subjects=["toy.out.*"]))
        for lane in (0, 1):
            await toys.send(nats_connection, lane, [1])
        await toys.until(lambda: all_applied(lanes, [1], 2))

        async def published() -> bool:
            return await toys.published(nats_connection, 0) == [(1, [1])]

        await toys.until(published)
