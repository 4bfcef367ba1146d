"""Revisions of the configuration become visible in order and without gaps."""

from __future__ import annotations

import asyncio
import random

from apportion_common.db.head import current_revision, held_revision, next_revision
from apportion_common.db.unit_of_work import Database
from apportion_dev.testing.plugin import BlankDatabase
from sqlalchemy import text

WRITERS = 8
WRITES = 12


async def test_eight_writers_and_a_reader_never_see_a_gap(base_database: BlankDatabase) -> None:
    database = base_database().database()
    writing = WRITERS

    async def write(writer: int) -> None:
        nonlocal writing
        chance = random.Random(writer)
        for _ in range(WRITES):
            try:
                async with database.transaction() as tx:
                    revision = await next_revision(tx)
                    await tx.execute(
                        "INSERT INTO inbox (consumer, event_id) VALUES (:revision, gen_random_uuid())",
                        {"revision": str(revision)},
                    )
                    if chance.random() < 1 / 4:
                        raise RuntimeError("a write that fails gives its number back")
            except RuntimeError:
                continue
        writing -= 1

    async def watch() -> list[int]:
        seen = []
        while writing:
            async with database.transaction() as tx:
                head = await held_revision(tx)
                rows = (await tx.execute("SELECT consumer::bigint FROM inbox")).scalars().all()
            assert sorted(rows) == list(range(1, head + 1))
            seen.append(head)
        return seen

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(write(writer) for writer in range(WRITERS)))
    heads = await watching
    assert heads == sorted(heads)
    async with database.read() as connection:
        last = await current_revision(connection)
    assert 0 < last <= WRITERS * WRITES


async def test_a_shared_head_stays_until_the_transaction_ends(base_database: BlankDatabase) -> None:
    database: Database = base_database().database()
    order: list[str] = []

    async def write() -> None:
        async with database.transaction() as tx:
            await next_revision(tx)
            order.append("written")

    async with database.transaction() as tx:
        assert await held_revision(tx) == 0
        writer = asyncio.create_task(write())
        await asyncio.sleep(0.1)
        order.append("read")
        assert await held_revision(tx) == 0
    await writer
    assert order == ["read", "written"]


async def test_a_reader_that_comes_after_a_waiting_writer_waits_its_turn(base_database: BlankDatabase) -> None:
    database = base_database().database()
    order: list[str] = []

    async def write() -> None:
        async with database.transaction() as tx:
            await next_revision(tx)
            order.append("write")

    async def read() -> None:
        async with database.transaction() as tx:
            order.append(f"read {await held_revision(tx)}")

    async with database.transaction() as tx:
        await held_revision(tx)
        writing = asyncio.create_task(write())
        await _waiting(database, 1)
        reading = asyncio.create_task(read())
        await _waiting(database, 2)
    # If readers could pass, lanes that keep overlapping would hold every configuration write off for ever.
    await asyncio.gather(writing, reading)
    assert order == ["write", "read 1"]


async def _waiting(database: Database, sessions: int) -> None:
    """Until that many sessions of the database wait for a lock."""
    waiting = 0
    while waiting < sessions:
        await asyncio.sleep(0.02)
        async with database.read() as connection:
            waiting = (
                await connection.execute(
                    text(
                        "SELECT count(*) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                    )
                )
            ).scalar_one()
