"""Several lanes in one transaction: together when they wait, alone when one of them fails, each written once."""

from __future__ import annotations

import asyncio

import lane_toys as toys
import pytest
from apportion_common.clock import SystemClock
from apportion_common.db.unit_of_work import Database
from apportion_common.lanes import limits
from apportion_common.lanes.turns import Turns, serve
from nats.aio.client import Client

LANES = 12
PATIENCE_S = 0.01


@pytest.fixture
async def lanes(blank_database, nats_connection: Client) -> Database:  # type: ignore[no-untyped-def]
    database = Database(blank_database().owner_engine, "toy", SystemClock())
    await toys.make_tables(database)
    await toys.make_streams(nats_connection)
    return database


async def send_to_all(nats: Client, first: int, count: int) -> None:
    for value in range(first, first + count):
        await toys.send(nats, value % LANES, [value])


async def all_written(lanes: Database, count: int) -> bool:
    return sum([len(await toys.applied(lanes, lane)) for lane in range(LANES)]) == count


async def test_lanes_that_wait_at_the_same_time_are_committed_together_and_each_keeps_its_order(
    lanes: Database, nats_connection: Client
) -> None:
    processor = toys.ToyProcessor()
    await send_to_all(nats_connection, 0, 600)
    async with toys.running(toys.runner(lanes, nats_connection, processor, lanes=LANES)):
        await toys.until(lambda: all_written(lanes, 600))
    for lane in range(LANES):
        assert await toys.applied(lanes, lane) == [value for value in range(600) if value % LANES == lane]
        out = await toys.published(nats_connection, lane)
        assert [batch_seq for batch_seq, _ in out] == list(range(1, len(out) + 1))
    assert max(map(len, processor.together)) > 1, "No two lanes were ever committed together."
    assert max(map(len, processor.together)) <= limits.LANES_TOGETHER
    assert all(together == sorted(set(together)) for together in processor.together)


async def test_a_number_that_cannot_be_written_holds_up_none_of_the_lanes_that_came_with_it(
    lanes: Database, nats_connection: Client
) -> None:
    await send_to_all(nats_connection, 0, 240)
    processor = toys.ToyProcessor(poison={17, 100, 101})
    async with toys.running(toys.runner(lanes, nats_connection, processor, lanes=LANES)):
        await toys.until(lambda: all_written(lanes, 237))
    for lane in range(LANES):
        expected = [value for value in range(240) if value % LANES == lane and value not in processor.poison]
        assert await toys.applied(lanes, lane) == expected


async def test_lanes_taken_away_while_they_are_committed_together_are_written_once(
    lanes: Database, nats_connection: Client
) -> None:
    async with toys.running(toys.runner(lanes, nats_connection, toys.ToyProcessor(), lanes=LANES)):
        for part in range(10):
            await send_to_all(nats_connection, part * 60, 60)
            async with lanes.transaction() as tx:
                await tx.execute(
                    "UPDATE lane SET epoch = epoch + 1, lease_until = '-infinity', owner = 'thief' WHERE lane = :lane",
                    {"lane": part},
                )
            await asyncio.sleep(0.05)
        await toys.until(lambda: all_written(lanes, 600))
    for lane in range(LANES):
        assert await toys.applied(lanes, lane) == [value for value in range(600) if value % LANES == lane]


async def test_a_turn_is_never_lost_whatever_instant_a_lane_gives_up_waiting_at() -> None:
    turns: Turns[int] = Turns(1, PATIENCE_S)
    for instant in range(20):
        assert await turns.take(0)
        waiting = asyncio.create_task(turns.take(1))
        next_one = asyncio.create_task(turns.take(2))
        for _ in range(instant % 4):
            await asyncio.sleep(0)
        if instant % 2:
            turns.end()
            waiting.cancel()
        else:
            waiting.cancel()
            turns.end()
        await asyncio.gather(waiting, return_exceptions=True)
        if not waiting.cancelled() and waiting.exception() is None:
            turns.end()
        async with asyncio.timeout(5):
            assert await next_one
        turns.end()
        assert list(turns.waiting()) == []


async def test_a_lane_that_is_taken_along_waits_until_it_is_served() -> None:
    turns: Turns[int] = Turns(1, PATIENCE_S)
    assert await turns.take(0)
    other = asyncio.create_task(turns.take(1))
    await asyncio.sleep(0)
    assert list(turns.waiting()) == [1]
    along = [turns.take_along(1)]
    assert list(turns.waiting()) == []
    turns.end()
    assert await turns.take(2)
    await asyncio.sleep(0)
    assert not other.done()
    serve(along)
    assert not await other
    turns.end()


async def test_a_lane_begins_beside_a_transaction_that_is_held_up() -> None:
    turns: Turns[int] = Turns(2, PATIENCE_S)
    assert await turns.take(0)
    async with asyncio.timeout(5):
        assert await turns.take(1)
    third = asyncio.create_task(turns.take(2))
    await asyncio.sleep(5 * PATIENCE_S)
    assert not third.done()
    turns.end()
    assert await third
    turns.end()
    turns.end()


async def test_a_lane_that_is_taken_along_begins_nothing_however_long_that_takes() -> None:
    turns: Turns[int] = Turns(2, PATIENCE_S)
    assert await turns.take(0)
    other = asyncio.create_task(turns.take(1))
    await asyncio.sleep(0)
    along = [turns.take_along(1)]
    await asyncio.sleep(5 * PATIENCE_S)
    assert not other.done()
    serve(along)
    assert not await other
