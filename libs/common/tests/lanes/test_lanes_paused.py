"""A lane runner whose flag is closed takes nothing and loses nothing."""

from __future__ import annotations

import lane_toys as toys
import pytest
from apportion_common.clock import SystemClock
from apportion_common.db.unit_of_work import Database
from apportion_common.lanes import LaneRunner
from nats.aio.client import Client
from sqlalchemy import text


class Flag:
    """A flag that a test opens and closes."""

    def __init__(self, *, closed: bool) -> None:
        self.closed = closed

    def __call__(self) -> bool:
        return self.closed


@pytest.fixture
async def lanes(blank_database, nats_connection: Client) -> Database:  # type: ignore[no-untyped-def]
    database = Database(blank_database().owner_engine, "toy", SystemClock())
    await toys.make_tables(database)
    await toys.make_streams(nats_connection)
    return database


def runner(database: Database, client: Client, paused: Flag, worker: str = "one") -> LaneRunner[toys.Numbers]:
    return LaneRunner(
        database,
        client,
        role="toy",
        source=toys.SOURCE,
        output=toys.OUTPUT,
        processor=toys.ToyProcessor(),
        worker_id=worker,
        lease_s=1.5,
        lanes=2,
        paused=paused,
    )


async def one(database: Database, query: str) -> object:
    async with database.read() as connection:
        return (await connection.execute(text(query))).scalar_one()


async def free(database: Database) -> bool:
    """Whether no lane is held and no worker counts."""
    held = await one(database, "SELECT count(*) FROM lane WHERE lease_until > clock_timestamp()")
    return held == 0 and await one(database, "SELECT count(*) FROM lane_worker") == 0


async def test_what_comes_while_the_flag_is_closed_is_worked_once_and_in_order_when_it_opens(
    lanes: Database, nats_connection: Client
) -> None:
    flag = Flag(closed=False)
    async with toys.running(runner(lanes, nats_connection, flag)):
        for value in range(20):
            await toys.send(nats_connection, 0, [value])

        async def worked(count: int) -> bool:
            return len(await toys.applied(lanes, 0)) == count

        await toys.until(lambda: worked(20))
        flag.closed = True
        await toys.until(lambda: free(lanes))
        for value in range(20, 40):
            await toys.send(nats_connection, 0, [value])
        # Several looks of the runner pass: each finds the flag closed.
        await toys.send(nats_connection, 1, [7])
        assert await toys.applied(lanes, 0) == list(range(20))
        assert await toys.applied(lanes, 1) == []
        assert await free(lanes)

        flag.closed = False
        await toys.until(lambda: worked(40))
    assert await toys.applied(lanes, 0) == list(range(40))
    assert await toys.applied(lanes, 1) == [7]
    out = await toys.published(nats_connection, 0)
    assert [value for _, values in out for value in values] == list(range(40))


async def test_a_paused_worker_leaves_all_lanes_to_one_that_is_open(lanes: Database, nats_connection: Client) -> None:
    closed, opened = Flag(closed=True), Flag(closed=False)
    async with (
        toys.running(runner(lanes, nats_connection, closed, "closed")),
        toys.running(runner(lanes, nats_connection, opened, "open")),
    ):
        for lane in (0, 1):
            await toys.send(nats_connection, lane, [lane])

        async def done() -> bool:
            return await toys.applied(lanes, 0) == [0] and await toys.applied(lanes, 1) == [1]

        await toys.until(done)
        assert await one(lanes, "SELECT string_agg(DISTINCT owner, ',') FROM lane") == "open"
        assert await one(lanes, "SELECT string_agg(worker_id, ',') FROM lane_worker") == "open"
