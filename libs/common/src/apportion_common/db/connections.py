"""Lending an engine's connections, so that each comes back whatever instant its borrower is cancelled at.

Nothing that a half-done step would leave behind runs in the borrower's own task. Connecting, trying and beginning run
in a task that no borrower's cancellation reaches; when the borrower has gone meanwhile, what arrives is given back.
So do the commit, the rollback and the return; for these a cancelled borrower waits, and they have time limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any, Final, TypeVar

import psycopg
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool

from apportion_common.db.engine import BEGIN, POOL_WAIT_S, can_roll_back
from apportion_common.db.limits import COMMIT_TIMEOUT_S, READ_IDLE_TIMEOUT_MS, RETURN_TIMEOUT_S
from apportion_common.logs import get_logger
from apportion_common.metrics import counter, gauge
from apportion_common.tasks import until_done

T = TypeVar("T")

COUNT = gauge("db_client_connection_count", "Connections of the pool, by state: used or idle.", ["pool", "state"])
MAX = gauge("db_client_connection_max", "Most connections that the pool may have.", ["pool"])
PENDING = gauge("db_client_connection_pending_requests", "Calls that wait for a connection of the pool.", ["pool"])
TIMEOUTS = counter("db_client_connection_timeouts", "Calls that waited for a connection in vain.", ["pool"])

log = get_logger(__name__)


_MAY_STAND_IDLE: Final = b"; SET LOCAL idle_in_transaction_session_timeout = %d" % READ_IDLE_TIMEOUT_MS
"""A writer that stands idle holds others up and is ended soon; a reader holds up nobody."""


class Mode(Enum):
    """What kind of transaction a connection is lent for, with the statement that begins it."""

    WRITE = None
    """At READ COMMITTED, begun by the driver with the first statement."""
    READ = b"BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY" + _MAY_STAND_IDLE
    SNAPSHOT = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" + _MAY_STAND_IDLE


class Connections:
    """The connections of one engine. The only way of the product to one of them."""

    def __init__(self, engine: AsyncEngine, name: str) -> None:
        """Lend the connections of an engine, under a name for metrics; as many at once as its pool holds."""
        pool = engine.pool
        assert isinstance(pool, QueuePool)
        self._engine = engine
        self._name = name
        self._size = pool.size()
        # Waiting is done here and not in the pool: a borrower that is cancelled while it waits just goes.
        self._slots: asyncio.Queue[None] = asyncio.Queue()
        for _ in range(self._size):
            self._slots.put_nowait(None)
        self._waiting = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    def observe(self) -> None:
        """Show this pool in the process's metrics."""
        COUNT.labels(self._name, "used").set_function(lambda: self._size - self._slots.qsize())
        COUNT.labels(self._name, "idle").set_function(self._idle)
        MAX.labels(self._name).set(self._size)
        PENDING.labels(self._name).set_function(lambda: self._waiting)
        TIMEOUTS.labels(self._name)

    @asynccontextmanager
    async def lend(self, mode: Mode) -> AsyncIterator[AsyncConnection]:
        """Lend a connection for one transaction: committed at the end of the block, rolled back on any error.

        sqlalchemy.exc.TimeoutError when none is free within POOL_WAIT_S; TimeoutError when a commit takes longer than
        COMMIT_TIMEOUT_S.
        """
        connection = await self._take(mode)
        try:
            yield connection
        except BaseException:
            await until_done(self._own(self._put_back(connection)))
            raise
        ending = self._finish(connection) if mode is Mode.WRITE else self._put_back(connection)
        await until_done(self._own(ending))

    async def close(self) -> None:
        """Wait until what is under way has been given back, and close every connection."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=COMMIT_TIMEOUT_S + RETURN_TIMEOUT_S)
        await self._engine.dispose()

    async def _take(self, mode: Mode) -> AsyncConnection:
        await self._wait_for_slot()
        # No await stands between taking the slot and the task that owns it.
        opening = self._own(self._open(mode))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(self._put_back_unused)
            raise

    async def _wait_for_slot(self) -> None:
        """Take a slot, which is the right to one connection of the pool."""
        self._waiting += 1
        try:
            async with asyncio.timeout(POOL_WAIT_S):
                await self._slots.get()
        except TimeoutError as error:
            TIMEOUTS.labels(self._name).inc()
            raise PoolTimeoutError(f"No connection of {self._size} was free within {POOL_WAIT_S} s.") from error
        finally:
            self._waiting -= 1

    async def _open(self, mode: Mode) -> AsyncConnection:
        """Take a connection out of the pool and begin; where that fails, the slot is free again."""
        connection = self._engine.connect()
        try:
            BEGIN.set(mode.value)
            await connection.start()
            await connection.begin()
        except BaseException:
            if connection.sync_connection is None:
                self._slots.put_nowait(None)
            else:
                await self._put_back(connection)
            raise
        return connection

    def _put_back_unused(self, opening: asyncio.Task[AsyncConnection]) -> None:
        """Put back what a borrower that has gone meanwhile asked for."""
        if not opening.cancelled() and opening.exception() is None:
            self._own(self._put_back(opening.result()))

    async def _finish(self, connection: AsyncConnection) -> None:
        """Commit and put back."""
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                await connection.commit()
        finally:
            await self._put_back(connection)

    async def _put_back(self, connection: AsyncConnection) -> None:
        """Roll back what is open and put the connection into its pool, or close it where that cannot be done."""
        try:
            async with asyncio.timeout(RETURN_TIMEOUT_S):
                if not await _can_roll_back(connection):
                    await connection.invalidate()
                await connection.close()
        except Exception as error:
            log.warning("connection_not_returned", error=type(error).__name__)
            if not connection.closed:
                await connection.invalidate(error)
                await connection.close()
        finally:
            self._slots.put_nowait(None)

    def _own(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task that nobody else has to keep."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _idle(self) -> int:
        pool = self._engine.pool
        assert isinstance(pool, QueuePool)
        return pool.checkedin()


async def _can_roll_back(connection: AsyncConnection) -> bool:
    """Return whether what is open can be rolled back; what was given up already has nothing open."""
    if connection.invalidated:
        return True
    outer = await connection.get_raw_connection()
    driver = outer.driver_connection
    assert isinstance(driver, psycopg.AsyncConnection)
    return can_roll_back(driver)
