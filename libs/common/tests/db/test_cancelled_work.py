"""Work that is cancelled at any of its awaits gives back what it took: connections, transactions, locks and tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from apportion.common.v1.audit_pb2 import AuditEntry
from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion_common.clock import SystemClock
from apportion_common.db import engine as engine_module
from apportion_common.db.engine import make_engine
from apportion_common.db.idempotency import mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_dev.testing.cancelling import HOWS, Leftovers, cancelled_everywhere
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase
from sqlalchemy import text

NAME = "cancelled work"
POOL_SIZE = 2

Work = Callable[[Database], Coroutine[Any, Any, object]]


async def read(database: Database) -> None:
    """Two statements that only look."""
    async with database.read() as connection:
        await connection.execute(text("SELECT revision FROM config_head"))
        await connection.execute(text("SELECT pg_sleep(0.002)"))


async def read_snapshot(database: Database) -> None:
    """Two statements that see one instant."""
    async with database.read(snapshot=True) as connection:
        await connection.execute(text("SELECT revision FROM config_head"))
        await connection.execute(text("SELECT pg_sleep(0.002)"))


async def write(database: Database) -> None:
    """A transaction with everything that one may hold: a lock, a savepoint, an audit entry, an event."""
    async with database.transaction() as tx:
        await _write(tx)


async def copy(database: Database) -> None:
    """A transaction that copies rows beside SQLAlchemy."""
    async with database.transaction() as tx:
        raw = await tx.raw()
        async with raw.cursor() as cursor, cursor.copy("COPY inbox (consumer, event_id) FROM STDIN") as rows:
            await rows.write_row(("c", uuid4()))


async def mutate(database: Database) -> None:
    """A mutation as an RPC runs it."""

    async def work(tx: Transaction) -> int:
        await _write(tx)
        return 1

    request = pb.CreateOrgRequest(request_id=str(uuid4()))
    await run_mutation(database, mutation(request, lambda _: pb.CreateOrgResponse()), work)


async def _write(tx: Transaction) -> None:
    await tx.execute("SELECT pg_advisory_xact_lock(7)")
    async with tx.savepoint():
        await tx.execute("INSERT INTO inbox (consumer, event_id) VALUES ('w', gen_random_uuid())")
    await tx.audit("thing.create", "thing/1")
    await tx.publish("base.thing.created", AuditEntry(action="x"))


@pytest.fixture(autouse=True)
def every_await(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the driver yield to the loop after everything that it does, as it does at times when it is busy."""
    monkeypatch.setattr("psycopg.waiting.MAX_BUSY_TIME", 0)


@pytest.fixture(scope="module")
def place(database_factory: DatabaseFactory) -> Iterator[ServiceDatabase]:
    made = database_factory.base()
    yield made
    database_factory.drop(made.name)


@pytest_asyncio.fixture(loop_scope="session")
async def database(place: ServiceDatabase) -> AsyncIterator[Database]:
    engine = make_engine(place.app_url, NAME, POOL_SIZE)
    yield Database(engine, "base", SystemClock())
    await engine.dispose()


@pytest.mark.parametrize("work", [read, read_snapshot, write, copy, mutate])
async def test_work_cancelled_at_any_await_leaves_nothing_behind(
    place: ServiceDatabase, database: Database, work: Work
) -> None:
    with Leftovers.watched(database, place, NAME) as left:
        await left.expect_writes("the start")
        for how in HOWS:
            async for instant in cancelled_everywhere(lambda: work(database), how):
                await left.expect_none(instant)


@pytest.mark.parametrize("work", [read, write])
async def test_work_cancelled_while_it_connects_leaves_nothing_behind(
    place: ServiceDatabase, database: Database, work: Work
) -> None:
    with Leftovers.watched(database, place, NAME) as left:
        for how in HOWS:
            async for instant in cancelled_everywhere(lambda: work(database), how, database.engine.dispose):
                await left.expect_none(instant)


async def test_a_statement_that_is_cancelled_twice_costs_no_connection(
    place: ServiceDatabase, database: Database
) -> None:
    async def sleep() -> None:
        async with database.read() as connection:
            await connection.execute(text("SELECT pg_sleep(60)"))

    async def pid() -> int:
        async with database.read() as connection:
            return int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())

    with Leftovers.watched(database, place, NAME) as left:
        before = await pid()
        sleeping = asyncio.create_task(sleep())
        await left.until_busy()
        sleeping.cancel()
        await asyncio.sleep(0)
        sleeping.cancel()
        await asyncio.wait({sleeping})
        assert sleeping.cancelled()
        assert before == await pid()
        await left.expect_none("two cancellations")


@pytest.mark.parametrize("work", [read, write])
async def test_work_cancelled_while_a_connection_is_tried_leaves_nothing_behind(
    place: ServiceDatabase, database: Database, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "PING_AFTER_IDLE_S", 0)
    with Leftovers.watched(database, place, NAME) as left:
        await left.expect_writes("the start")
        async for instant in cancelled_everywhere(lambda: work(database), "while it waits"):
            await left.expect_none(instant)


async def test_who_is_cancelled_while_all_connections_are_in_use_takes_none_later(
    place: ServiceDatabase, database: Database
) -> None:
    with Leftovers.watched(database, place, NAME) as left:
        release = asyncio.Event()

        async def hold() -> None:
            async with database.read() as connection:
                await connection.execute(text("SELECT 1"))
                await release.wait()

        holders = [asyncio.create_task(hold()) for _ in range(POOL_SIZE)]
        waiting = [asyncio.create_task(read(database)) for _ in range(20)]
        await asyncio.sleep(0.05)
        for task in waiting[::2]:
            task.cancel()
        release.set()
        await asyncio.gather(*holders)
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert [isinstance(end, asyncio.CancelledError) for end in ends] == [True, False] * 10
        await left.expect_none("waiting in vain")
