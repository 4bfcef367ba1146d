"""What a lane waits for may fall silent: the wait ends on our side, and what renews a lease is work that gets on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator

import lane_toys as toys
import pytest
import pytest_asyncio
from apportion_common.clock import SystemClock
from apportion_common.db import engine
from apportion_common.db.engine import make_engine
from apportion_common.db.unit_of_work import Database
from apportion_common.lanes import limits
from apportion_dev.local.postgres import LocalPostgres
from apportion_dev.testing.databases import fetch_all
from nats.aio.client import Client
from sqlalchemy import text

LEASE_S = 1.5
STATEMENT_TIMEOUT_MS = 1_000
LANES = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPostgres]:
    """A server whose processes may be stopped."""
    postgres = LocalPostgres(tmp_path_factory.mktemp("postgres"))
    postgres.start()
    yield postgres
    postgres.destroy()


@pytest_asyncio.fixture(loop_scope="session")
async def place(server: LocalPostgres, nats_connection: Client) -> AsyncIterator[str]:
    """The URL of a database with the lane tables, and the streams."""
    await toys.make_streams(nats_connection)
    database = _database(server.admin_url, "made")
    await toys.make_tables(database)
    await database.connections.close()
    yield server.admin_url
    database = _database(server.admin_url, "made")
    async with database.transaction() as tx:
        await tx.execute("DROP TABLE applied, lane, lane_outbox, lane_worker")
    await database.connections.close()


def _database(url: str, worker: str, pool_size: int = 6) -> Database:
    made = make_engine(url, f"toy/{worker}", pool_size, statement_timeout_ms=STATEMENT_TIMEOUT_MS)
    return Database(made, "toy", SystemClock())


@contextlib.contextmanager
def silent_sessions(url: str, worker: str, *, in_transaction: bool = False) -> Iterator[None]:
    """Stop the server processes of a worker's sessions, of which none is in a transaction unless that is wanted."""
    stopped: set[int] = set()

    def sessions() -> list[tuple[int, bool]]:
        return fetch_all(
            url,
            "SELECT pid, backend_xid IS NOT NULL OR state <> 'idle' FROM pg_stat_activity WHERE application_name = %s",
            [f"toy/{worker}"],
        )

    try:
        while True:
            for pid, _ in sessions():
                os.kill(pid, signal.SIGSTOP)
                stopped.add(pid)
            busy = [pid for pid, busy in sessions() if busy and pid in stopped]
            if bool(busy) == in_transaction and stopped:
                break
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
            stopped.clear()
        yield
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def _send(client: Client, start: int, count: int) -> None:
    for value in range(start, start + count):
        await toys.send(client, value % LANES, [value])


async def _all_applied(url: str, count: int) -> None:
    """Wait until every lane has its numbers in order, none of them twice."""
    seen = _database(url, "seen", 1)

    async def done() -> bool:
        found = [await toys.applied(seen, lane) for lane in range(LANES)]
        return sum(map(len, found)) == count

    await toys.until(done)
    for lane in range(LANES):
        assert await toys.applied(seen, lane) == [value for value in range(count) if value % LANES == lane]
    await seen.connections.close()


async def _runner(url: str, client: Client, worker: str, processor: toys.ToyProcessor | None = None):  # type: ignore[no-untyped-def]
    database = _database(url, worker)
    made = toys.runner(database, client, processor or toys.ToyProcessor(), worker=worker, lanes=LANES, lease_s=LEASE_S)
    return database, made


@pytest.mark.parametrize("workers", [["one"], ["one", "two"]])
async def test_lanes_whose_database_sessions_fall_silent_go_on(
    place: str, nats_connection: Client, workers: list[str]
) -> None:
    async with contextlib.AsyncExitStack() as ending:
        for worker in workers:
            database, runner = await _runner(place, nats_connection, worker)
            ending.push_async_callback(database.connections.close)
            await ending.enter_async_context(toys.running(runner))
        await _send(nats_connection, 0, 40)
        await _all_applied(place, 40)
        with silent_sessions(place, "one"):
            await _send(nats_connection, 40, 40)
            await _all_applied(place, 80)
        await _send(nats_connection, 80, 40)
        await _all_applied(place, 120)


async def test_a_silent_session_in_a_batch_keeps_no_other_lane_and_its_own_goes_on_when_it_is_gone(
    place: str, nats_connection: Client
) -> None:
    pause = asyncio.Event()
    processor = toys.ToyProcessor(pause_before_commit=pause)
    database, runner = await _runner(place, nats_connection, "one", processor)
    async with toys.running(runner):
        await toys.send(nats_connection, 0, [0])

        async def inside() -> bool:
            return bool(processor.together)

        await toys.until(inside)
        with silent_sessions(place, "one", in_transaction=True):
            pause.set()
            await toys.send(nats_connection, 1, [1])
            await toys.send(nats_connection, 2, [2])
            await toys.send(nats_connection, 3, [3])
            seen = _database(place, "seen", 1)

            async def others() -> bool:
                return [await toys.applied(seen, lane) for lane in (1, 2, 3)] == [[1], [2], [3]]

            await toys.until(others)
            await seen.connections.close()
        await _all_applied(place, 4)
    await database.connections.close()


async def test_a_lease_is_not_renewed_for_work_that_makes_no_progress(
    place: str, nats_connection: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STUCK_S_MIN", 0, raising=False)
    hangs = toys.ToyProcessor(pause_before_commit=asyncio.Event())
    one, first = await _runner(place, nats_connection, "one", hangs)
    async with toys.running(first):
        await _send(nats_connection, 0, 4)

        async def inside() -> bool:
            return bool(hangs.together)

        await toys.until(inside)
        two, second = await _runner(place, nats_connection, "two")
        async with toys.running(second):
            await _all_applied(place, 4)
        hangs.pause_before_commit.set()  # type: ignore[union-attr]
    await one.connections.close()
    await two.connections.close()


async def test_every_wait_for_a_silent_server_ends(server: LocalPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PING_AFTER_IDLE_S", 0)
    database = _database(server.admin_url, "waits", 1)
    async with database.transaction() as tx:
        await tx.execute("SELECT 1")

    async def read() -> None:
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def write() -> None:
        async with database.transaction() as tx:
            await tx.execute("SELECT 1")

    async def in_the_middle() -> None:
        async with database.transaction() as tx:
            (pid,) = (await tx.execute("SELECT pg_backend_pid()")).one()
            os.kill(pid, signal.SIGSTOP)
            try:
                await tx.execute("SELECT 1")
            finally:
                os.kill(pid, signal.SIGCONT)

    for work in (read, write):
        with silent_sessions(server.admin_url, "waits"):
            # By a new session: the silent one is given up while it is tried.
            await asyncio.wait_for(work(), toys.PATIENCE_S)
    with pytest.raises(Exception, match="said nothing"):
        await asyncio.wait_for(in_the_middle(), toys.PATIENCE_S)
    await asyncio.wait_for(write(), toys.PATIENCE_S)
    await database.connections.close()


async def test_a_copy_to_a_silent_server_ends(server: LocalPostgres) -> None:
    database = _database(server.admin_url, "copies", 1)
    stopped: list[int] = []

    async def copy() -> None:
        async with database.transaction() as tx:
            await tx.execute("CREATE TEMPORARY TABLE taken (value int)")
            (pid,) = (await tx.execute("SELECT pg_backend_pid()")).one()
            raw = await tx.raw()
            async with raw.cursor() as cursor, cursor.copy("COPY taken FROM STDIN") as rows:
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
                await rows.write_row((1,))

    try:
        with pytest.raises(Exception, match="said nothing"):
            await asyncio.wait_for(copy(), toys.PATIENCE_S)
    finally:
        os.kill(stopped[0], signal.SIGCONT)
    await database.connections.close()
