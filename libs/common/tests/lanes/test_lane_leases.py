"""Renewal of leases beside batches under way: nothing waits, nothing is held, nobody else's lane is renewed."""

from __future__ import annotations

import asyncio

import lane_toys as toys
import psycopg
import pytest
from apportion_common.clock import SystemClock
from apportion_common.db.unit_of_work import Database
from apportion_common.faults import classify
from apportion_common.lanes.errors import Fenced
from apportion_common.lanes.model import LaneOutput
from apportion_common.lanes.store import HeldLane, LaneMove, LaneStore
from sqlalchemy import text

LANES = 4
LONGEST_STATEMENT_S = 4.0
"""Below the lock time-out, so that a statement that waits for a lock is not taken for one that does not."""


@pytest.fixture
async def database(blank_database) -> Database:  # type: ignore[no-untyped-def]
    database = Database(blank_database().owner_engine, "toy", SystemClock())
    await toys.make_tables(database)
    return database


@pytest.fixture
async def store(database: Database) -> LaneStore:
    store = LaneStore(database, "toy", "one", lease_s=60)
    await store.create(LANES)
    for lane in range(LANES):
        assert await store.acquire(lane)
    return store


async def _leases_run_out(database: Database) -> list[int]:
    async with database.read() as connection:
        rows = await connection.execute(
            text("SELECT lane FROM lane WHERE role = 'toy' AND lease_until < clock_timestamp() ORDER BY lane")
        )
        return [row.lane for row in rows]


async def _end_leases(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("UPDATE lane SET lease_until = '-infinity' WHERE role = 'toy'")


async def test_a_renewal_passes_over_a_lane_in_a_batch_and_still_calls_it_held(
    database: Database, store: LaneStore
) -> None:
    await _end_leases(database)
    async with database.transaction() as batch:
        await store.fence(batch, [HeldLane(2, 1, 0, 0, 1)])
        held = await asyncio.wait_for(store.renew([(lane, 1, 0) for lane in range(LANES)]), LONGEST_STATEMENT_S)
        assert held == {0, 1, 2, 3}
        assert await _leases_run_out(database) == [2]


async def test_a_batch_never_waits_for_a_renewal_that_waits_for_another_batch(
    database: Database, store: LaneStore
) -> None:
    async with database.transaction() as slow:
        await store.fence(slow, [HeldLane(3, 1, 0, 0, 1)])
        renewing = asyncio.create_task(store.renew([(lane, 1, 0) for lane in range(LANES)]))
        async with asyncio.timeout(LONGEST_STATEMENT_S):
            for lane in range(LANES - 1):
                async with database.transaction() as batch:
                    await store.fence(batch, [HeldLane(lane, 1, 0, 0, 1)])
            await renewing


async def test_a_lane_that_another_took_is_neither_renewed_nor_called_held(
    database: Database, store: LaneStore
) -> None:
    await _end_leases(database)
    other = LaneStore(database, "toy", "two", lease_s=60)
    assert await other.acquire(1)
    await _end_leases(database)
    assert await store.renew([(lane, 1, 0) for lane in range(LANES)]) == {0, 2, 3}
    assert await _leases_run_out(database) == [1]


@pytest.mark.parametrize(("epoch", "cursor"), [(1, 0), (2, 7)], ids=["epoch", "cursor"])
async def test_a_batch_begins_only_under_the_rows_own_epoch_and_cursor(
    database: Database, store: LaneStore, epoch: int, cursor: int
) -> None:
    await _end_leases(database)
    assert await LaneStore(database, "toy", "two", lease_s=60).acquire(1)
    with pytest.raises(Fenced):
        async with database.transaction() as batch:
            await store.fence(batch, [HeldLane(1, epoch, cursor, 0, 1)])
    async with database.transaction() as batch:
        await store.fence(batch, [HeldLane(1, 2, 0, 0, 1)])


@pytest.mark.parametrize(
    "stale",
    [HeldLane(2, 9, 0, 0, 1), HeldLane(2, 1, 9, 0, 1), HeldLane(2, 1, 0, 9, 1), HeldLane(2, 1, 0, 0, 9)],
    ids=["epoch", "cursor", "batch", "entry"],
)
async def test_several_lanes_begin_together_only_if_each_row_is_what_its_owner_remembers(
    database: Database, store: LaneStore, stale: HeldLane
) -> None:
    own = [HeldLane(lane, 1, 0, 0, 1) for lane in range(LANES)]
    async with database.transaction() as batch:
        await store.fence(batch, own)
    with pytest.raises(Fenced, match="lane 2"):
        async with database.transaction() as batch:
            await store.fence(batch, [stale if held.lane == 2 else held for held in own])


@pytest.mark.parametrize(("epoch", "cursor"), [(2, 0), (1, 7)], ids=["epoch", "cursor"])
async def test_a_batch_ends_only_under_the_rows_own_epoch_and_cursor_and_leaves_nothing_else(
    database: Database, store: LaneStore, epoch: int, cursor: int
) -> None:
    outputs = [LaneOutput(1, b"first", 0, 2), LaneOutput(1, b"last", 1, 2)]

    async def end(epoch: int, cursor: int) -> None:
        async with database.transaction() as batch:
            await store.fence(batch, [HeldLane(1, 1, 0, 0, 1)])
            held = HeldLane(1, epoch, cursor, 0, 1)
            await store.advance(batch, [LaneMove(held, 9, 1, 4, 0, outputs, "toy.out.1")])

    async def stored() -> list[LaneOutput]:
        async with database.read() as connection:
            return await store.unpublished(connection, 1, 1, 0)

    with pytest.raises(Fenced):
        await end(epoch, cursor)
    assert await stored() == []
    await end(1, 0)
    assert await stored() == outputs
    async with database.transaction() as batch:
        await store.fence(batch, [HeldLane(1, 1, 9, 1, 4)])


async def test_a_fence_that_waits_too_long_for_its_row_fails_as_the_surroundings_fault(
    database: Database, store: LaneStore
) -> None:
    async with database.transaction() as slow:
        await store.fence(slow, [HeldLane(2, 1, 0, 0, 1)])
        async with database.transaction() as batch:
            await (await batch.raw()).execute("SET LOCAL lock_timeout = '50ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable) as caught:
                await store.fence(batch, [HeldLane(2, 1, 0, 0, 1)])
            await (await batch.raw()).rollback()
    assert classify(caught.value) == "infrastructure"


async def test_renewals_and_takeovers_of_all_lanes_at_once_never_deadlock(database: Database, store: LaneStore) -> None:
    async def renew_often() -> None:
        for _ in range(100):
            await store.renew([(lane, 1, 0) for lane in range(LANES)])

    async def hold_backwards() -> None:
        for _ in range(100):
            async with database.transaction() as tx:
                for lane in reversed(range(LANES)):
                    await tx.execute(
                        "SELECT 1 FROM lane WHERE role = 'toy' AND lane = :lane FOR UPDATE", {"lane": lane}
                    )

    async with asyncio.TaskGroup() as racing:
        racing.create_task(renew_often())
        racing.create_task(renew_often())
        racing.create_task(hold_backwards())
