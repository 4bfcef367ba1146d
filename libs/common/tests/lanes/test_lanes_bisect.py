"""A failing batch is halved down to the entries that fail alone, on a real database with real savepoints."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from apportion_common.clock import SystemClock
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.errors import Unavailable
from apportion_common.lanes.bisect import bisect
from apportion_common.lanes.limits import BISECT_DEPTH_MAX
from apportion_dev.testing.databases import ServiceDatabase
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

Results = list[tuple[str, int]]


@pytest.fixture
async def database(blank_database: Callable[[], ServiceDatabase]) -> Database:
    made = Database(blank_database().owner_engine, "toy", SystemClock())
    async with made.transaction() as tx:
        await tx.execute("CREATE TABLE written (place serial PRIMARY KEY, value int NOT NULL CHECK (value >= 0))")
    return made


def merge(results: list[Results]) -> Results:
    return [item for result in results for item in result]


async def write_apart(tx: Transaction, items: Sequence[int], errors: list[Exception]) -> Results:
    """Write numbers one by one; a negative one is refused by the table, after what came before it was written."""

    async def attempt(part: Sequence[int]) -> Results:
        for value in part:
            await tx.execute("INSERT INTO written (value) VALUES (:value)", {"value": value})
        return [("written", value) for value in part]

    async def quarantine(value: int, error: Exception) -> Results:
        errors.append(error)
        return [("quarantined", value)]

    return await bisect(tx, items, attempt=attempt, quarantine=quarantine, merge=merge)


async def stored(database: Database) -> list[int]:
    async with database.read() as connection:
        return list((await connection.execute(text("SELECT value FROM written ORDER BY place"))).scalars())


async def test_what_fails_alone_is_quarantined_and_the_rest_is_written_in_order(database: Database) -> None:
    errors: list[Exception] = []
    async with database.transaction() as tx:
        results = await write_apart(tx, [1, 2, -3, 4, -5, -6, 7], errors)
    assert [value for _, value in results] == [1, 2, -3, 4, -5, -6, 7]
    assert [value for kind, value in results if kind == "quarantined"] == [-3, -5, -6]
    assert await stored(database) == [1, 2, 4, 7]
    assert len(errors) == 3
    assert all("value_check" in str(error) for error in errors)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=st.lists(st.integers(-2, 9), min_size=1, max_size=24))
async def test_each_item_has_one_result_wherever_the_bad_ones_are(database: Database, items: list[int]) -> None:
    async with database.transaction() as tx:
        await tx.execute("DELETE FROM written")
        results = await write_apart(tx, items, [])
    assert results == [("written" if value >= 0 else "quarantined", value) for value in items]
    assert await stored(database) == [value for value in items if value >= 0]


async def test_a_batch_that_is_good_is_attempted_once_as_a_whole(database: Database) -> None:
    attempts: list[Sequence[int]] = []

    async def attempt(part: Sequence[int]) -> int:
        attempts.append(part)
        return len(part)

    async def quarantine(value: int, error: Exception) -> int:
        raise AssertionError

    async with database.transaction() as tx:
        assert await bisect(tx, range(100), attempt=attempt, quarantine=quarantine, merge=sum) == 100
    assert attempts == [range(100)]


@pytest.mark.parametrize("error", [Unavailable("ORGS_UNAVAILABLE", "No answer."), TimeoutError(), OSError()])
async def test_an_infrastructure_error_is_no_entrys_fault_and_ends_the_whole(
    database: Database, error: Exception
) -> None:
    attempts = 0

    async def attempt(part: Sequence[int]) -> None:
        nonlocal attempts
        attempts += 1
        raise error

    async def quarantine(value: int, error: Exception) -> None:
        raise AssertionError

    with pytest.raises(type(error)) as caught:
        async with database.transaction() as tx:
            await bisect(tx, [1, 2, 3], attempt=attempt, quarantine=quarantine, merge=lambda _: None)
    assert caught.value is error
    assert attempts == 1


async def test_a_cancelled_task_quarantines_nothing(database: Database) -> None:
    async def attempt(part: Sequence[int]) -> None:
        raise asyncio.CancelledError

    async def quarantine(value: int, error: Exception) -> None:
        raise AssertionError

    with pytest.raises(asyncio.CancelledError):
        async with database.transaction() as tx:
            await bisect(tx, [1, 2], attempt=attempt, quarantine=quarantine, merge=lambda _: None)


async def test_the_error_of_a_batch_without_items_is_raised(database: Database) -> None:
    async def attempt(part: Sequence[int]) -> None:
        raise KeyError("nothing to blame")

    async def quarantine(value: int, error: Exception) -> None:
        raise AssertionError

    with pytest.raises(KeyError):
        async with database.transaction() as tx:
            await bisect(tx, [], attempt=attempt, quarantine=quarantine, merge=lambda _: None)


async def test_what_quarantine_raises_ends_the_whole(database: Database) -> None:
    async def attempt(part: Sequence[int]) -> None:
        raise KeyError(part[0])

    async def quarantine(value: int, error: Exception) -> None:
        raise error

    with pytest.raises(KeyError):
        async with database.transaction() as tx:
            await bisect(tx, [1, 2], attempt=attempt, quarantine=quarantine, merge=lambda _: None)


async def test_a_batch_beyond_the_depth_is_refused(database: Database) -> None:
    async def attempt(part: Sequence[int]) -> int:
        return len(part)

    async def quarantine(value: int, error: Exception) -> int:
        raise AssertionError

    most = 2**BISECT_DEPTH_MAX
    async with database.transaction() as tx:
        assert await bisect(tx, range(most), attempt=attempt, quarantine=quarantine, merge=sum) == most
        with pytest.raises(ValueError, match="halvings"):
            await bisect(tx, range(most + 1), attempt=attempt, quarantine=quarantine, merge=sum)
