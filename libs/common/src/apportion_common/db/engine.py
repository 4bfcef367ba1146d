"""The engine: SQLAlchemy's asyncio engine on psycopg 3, with a name and time limits on every session."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, TypeVar

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.waiting import wait_async
from sqlalchemy import event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from apportion_common.db.limits import CANCEL_TIMEOUT_S
from apportion_common.metrics import counter
from apportion_common.tasks import until_done

T = TypeVar("T")

DRIVER: Final = "postgresql+psycopg"
STATEMENT_TIMEOUT_MS: Final = 10_000
LOCK_TIMEOUT_MS: Final = 5_000
IDLE_IN_TRANSACTION_TIMEOUT_MS: Final = 5_000
"""A paused process loses its locks after this long; the lanes rely on it (a lease is at least three times as long)."""
CONNECT_TIMEOUT_S: Final = 5
POOL_WAIT_S: Final = 5
"""Longest wait for a free connection of the pool."""
POOL_RECYCLE_S: Final = 1_800
PING_AFTER_IDLE_S: Final = 1
"""A connection that lay unused for longer is tried before it is used; one that was just used needs no round trip for
that. If the server went away in between, the call fails as it would in the middle of its work, and the pool is emptied.
"""
APPLICATION_NAME_MAX: Final = 63
"""PostgreSQL cuts application names at this many bytes."""
BEGIN: Final[ContextVar[bytes | None]] = ContextVar("begin", default=None)
"""The statement that begins the transaction for which the task takes a connection; None leaves it to the driver.

It goes in place of the trial of a connection that lay unused, so that a read costs the round trips of its statements,
one to begin and one to end.
"""
DISCARDED: Final = counter(
    "apportion_db_connections_discarded", "Connections that came back in another state than they left, and were closed."
)
_WAIT_INTERVAL_S: Final = 0.1
"""The driver's own: how often a wait looks at its time limit."""
_PUT_BACK_AT: Final = "put_back_at"
_PLAIN_SCHEMES: Final = frozenset({"postgres", "postgresql", DRIVER})


def normalise_url(url: str) -> URL:
    """Return the SQLAlchemy URL of a `postgresql://` (or `postgres://`) URL, naming the psycopg driver.

    ValueError for any other scheme; the message does not repeat the URL, which holds a password.
    """
    parsed = make_url(url)
    if parsed.drivername not in _PLAIN_SCHEMES:
        raise ValueError(f"A database URL starts with postgresql://, not {parsed.drivername}://.")
    return parsed.set(drivername=DRIVER)


def psycopg_url(url: str) -> str:
    """Return the URL as libpq and psycopg take it, with its password: `postgresql://…`."""
    return normalise_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def make_engine(
    url: str,
    application_name: str,
    pool_size: int,
    *,
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
    lock_timeout_ms: int = LOCK_TIMEOUT_MS,
    idle_in_transaction_timeout_ms: int = IDLE_IN_TRANSACTION_TIMEOUT_MS,
) -> AsyncEngine:
    """Return an engine at READ COMMITTED whose pool never holds more than `pool_size` connections; connects on
    first use.

    The time limits are part of the connection's start-up packet, so no session is ever without them.
    """
    options = {
        "statement_timeout": statement_timeout_ms,
        "lock_timeout": lock_timeout_ms,
        "idle_in_transaction_session_timeout": idle_in_transaction_timeout_ms,
        "timezone": "UTC",
    }
    engine = create_async_engine(
        normalise_url(url),
        isolation_level="READ COMMITTED",
        # Parameters are people's data; an error names the statement only.
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_S,
        pool_recycle=POOL_RECYCLE_S,
        connect_args={
            "async_creator_fn": _Connection.connect,
            "application_name": application_name[:APPLICATION_NAME_MAX],
            "connect_timeout": CONNECT_TIMEOUT_S,
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
        },
    )
    _watch(engine)
    return engine


class _Connection(psycopg.AsyncConnection[Any]):
    """The driver's connection, whose statements come to their end however often their caller is cancelled.

    The driver cancels the statement at the server when its caller is cancelled, but closes the connection when that
    happens again meanwhile. At a deadline it does: the interceptor and gRPC cancel a call at the same instant. Then
    each call that is given up would cost a connection.
    """

    async def wait(self, gen: PQGen[T], interval: float = _WAIT_INTERVAL_S, timeout: float | None = None) -> T:
        try:
            return await wait_async(gen, self.pgconn.socket, interval=interval, timeout=timeout)
        except asyncio.CancelledError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                await until_done(asyncio.create_task(self._stop(gen)))
            raise

    async def _stop(self, gen: PQGen[Any]) -> None:
        """Cancel the statement at the server and take its end; close the connection where there is none."""
        try:
            await self.cancel_safe(timeout=CANCEL_TIMEOUT_S)
            await wait_async(gen, self.pgconn.socket, interval=_WAIT_INTERVAL_S, timeout=CANCEL_TIMEOUT_S)
        except psycopg.Error:
            if not can_roll_back(self):
                self.pgconn.finish()


def _watch(engine: AsyncEngine) -> None:
    """Begin or try a connection that leaves the pool, and look at every one that comes back."""
    dialect = engine.dialect

    def put_back(connection: Any, record: Any) -> None:
        if connection is None:
            return
        driver = dialect.get_driver_connection(connection)
        if not _is_as_made(driver):
            DISCARDED.inc()
            record.invalidate()
        record.info[_PUT_BACK_AT] = time.monotonic()

    def take(connection: Any, record: Any, _proxy: Any) -> None:
        statement = BEGIN.get()
        put_back_at = record.info.get(_PUT_BACK_AT)
        try:
            if statement is not None:
                connection.run_async(partial(_begin, statement))
            elif put_back_at is not None and time.monotonic() - put_back_at >= PING_AFTER_IDLE_S:
                dialect.do_ping(connection)
        except psycopg.Error as error:
            raise InvalidatePoolError from error

    def keep(failure: ExceptionContext) -> None:
        # SQLAlchemy closes a connection whose statement was cancelled; ours has come to its end and can be rolled back.
        if isinstance(failure.original_exception, asyncio.CancelledError) and failure.connection is not None:
            driver = failure.connection.connection.driver_connection
            assert isinstance(driver, _Connection)
            failure.is_disconnect = not can_roll_back(driver)

    event.listen(engine.sync_engine, "handle_error", keep)
    event.listen(engine.sync_engine, "checkin", put_back)
    event.listen(engine.sync_engine, "checkout", take)


async def _begin(statement: bytes, driver: psycopg.AsyncConnection[Any]) -> None:
    """Begin a transaction in one round trip; the driver begins no other one when it finds that open."""
    async with driver.lock:
        driver.pgconn.send_query(statement)
        (result,) = await driver.wait(generators.execute(driver.pgconn))
    if result.status != ExecStatus.COMMAND_OK:
        raise psycopg.errors.error_from_result(result)


def can_roll_back(driver: psycopg.AsyncConnection[Any]) -> bool:
    """Return False for a session that is lost, or in the middle of a command that was given up, such as a COPY."""
    return driver.info.transaction_status not in (TransactionStatus.ACTIVE, TransactionStatus.UNKNOWN)


def _is_as_made(driver: psycopg.AsyncConnection[Any]) -> bool:
    """Return whether a connection is outside any transaction and begins the next one as every other does."""
    return (
        not driver.closed
        and driver.info.transaction_status == TransactionStatus.IDLE
        and driver.isolation_level == psycopg.IsolationLevel.READ_COMMITTED
        and driver.read_only is None
        and driver.deferrable is None
        and not driver.autocommit
    )
