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
from sqlalchemy import event, text
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from apportion_common.db.limits import (
    ANSWER_SLACK_S,
    CANCEL_TIMEOUT_S,
    KEEPALIVE_COUNT_MAX,
    KEEPALIVE_IDLE_S,
    KEEPALIVE_INTERVAL_S,
    TCP_USER_TIMEOUT_MS,
    TRIAL_TIMEOUT_S,
)
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
SILENT: Final = counter(
    "apportion_db_sessions_silent", "Sessions whose server said nothing within the time limit, and that were closed."
)
_WAIT_INTERVAL_S: Final = 0.1
"""The driver's own: how often a wait looks whether anything has come."""
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

    The time limits are part of the connection's start-up packet, so no session is ever without them. They are the
    server's; where it falls silent, every wait for it ends on this side, ANSWER_SLACK_S after the longest statement.
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
            "async_creator_fn": partial(_Connection.make, statement_timeout_ms / 1_000 + ANSWER_SLACK_S),
            "application_name": application_name[:APPLICATION_NAME_MAX],
            "connect_timeout": CONNECT_TIMEOUT_S,
            "keepalives": 1,
            "keepalives_idle": KEEPALIVE_IDLE_S,
            "keepalives_interval": KEEPALIVE_INTERVAL_S,
            "keepalives_count": KEEPALIVE_COUNT_MAX,
            "tcp_user_timeout": TCP_USER_TIMEOUT_MS,
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

    A server that says nothing for `silence_s` while something is awaited of it is lost: the connection is closed
    and the wait ends with psycopg.OperationalError. The limits of the server's own do not help against that.
    """

    silence_s: float = CONNECT_TIMEOUT_S
    """Longest silence of the server; 0 for no limit."""
    usual_silence_s: float = CONNECT_TIMEOUT_S

    @classmethod
    async def make(cls, silence_s: float, *args: Any, **kwargs: Any) -> _Connection:
        """Connect, with a limit on the server's silence from then on."""
        connection = await cls.connect(*args, **kwargs)
        connection.silence_s = connection.usual_silence_s = silence_s
        return connection

    async def wait(self, gen: PQGen[T], interval: float = _WAIT_INTERVAL_S, timeout: float | None = None) -> T:
        try:
            return await wait_async(self._heard(gen, interval), self.pgconn.socket, interval=interval, timeout=timeout)
        except asyncio.CancelledError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                await until_done(asyncio.create_task(self._stop(gen)))
            raise

    def _heard(self, gen: PQGen[T], interval_s: float) -> PQGen[T]:
        """Yield what the driver's generator yields, and close the connection after too many looks in vain.

        Looks are counted, and not the time: when this process itself was busy the answer may have come meanwhile.
        """
        looks = 0
        try:
            state = next(gen)
            while True:
                ready = yield state
                looks = 0 if ready else looks + 1
                if self.silence_s and looks * interval_s >= self.silence_s:
                    SILENT.inc()
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"The database said nothing for {self.silence_s:g} s.")
                state = gen.send(ready)
        except StopIteration as done:
            value: T = done.value
            return value

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
        driver.silence_s = driver.usual_silence_s
        if not _is_as_made(driver):
            DISCARDED.inc()
            record.invalidate()
        record.info[_PUT_BACK_AT] = time.monotonic()

    def take(connection: Any, record: Any, _proxy: Any) -> None:
        statement = BEGIN.get()
        put_back_at = record.info.get(_PUT_BACK_AT)
        driver = dialect.get_driver_connection(connection)
        # Neither takes a healthy server long, and whoever takes the connection waits for it.
        driver.silence_s = TRIAL_TIMEOUT_S
        try:
            if statement is not None:
                connection.run_async(partial(_begin, statement))
            elif put_back_at is not None and time.monotonic() - put_back_at >= PING_AFTER_IDLE_S:
                dialect.do_ping(connection)
        except psycopg.Error as error:
            raise InvalidatePoolError from error
        driver.silence_s = driver.usual_silence_s

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
        results = await driver.wait(generators.execute(driver.pgconn))
    if results[-1].status != ExecStatus.COMMAND_OK:
        raise psycopg.errors.error_from_result(results[-1])


async def allow_statement_s(connection: AsyncConnection, seconds: int) -> None:
    """Let the statements of this transaction take longer than the others', here and at the server."""
    await connection.execute(text("SELECT set_config('statement_timeout', :limit, true)"), {"limit": f"{seconds}s"})
    outer = await connection.get_raw_connection()
    driver = outer.driver_connection
    assert isinstance(driver, _Connection)
    driver.silence_s = seconds + ANSWER_SLACK_S


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
