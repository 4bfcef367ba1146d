"""The engine: SQLAlchemy's asyncio engine on psycopg 3, with a name and time limits on every session."""

from __future__ import annotations

import time
from typing import Any, Final

import psycopg
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

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
            "application_name": application_name[:APPLICATION_NAME_MAX],
            "connect_timeout": CONNECT_TIMEOUT_S,
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
        },
    )
    _ping_after_idle(engine)
    return engine


def _ping_after_idle(engine: AsyncEngine) -> None:
    """Try a pooled connection before use when it lay there for PING_AFTER_IDLE_S; make a new one if it is lost."""
    dialect = engine.dialect

    def put_back(_connection: Any, record: Any) -> None:
        record.info[_PUT_BACK_AT] = time.monotonic()

    def take(connection: Any, record: Any, _proxy: Any) -> None:
        put_back_at = record.info.get(_PUT_BACK_AT)
        if put_back_at is None or time.monotonic() - put_back_at < PING_AFTER_IDLE_S:
            return
        try:
            dialect.do_ping(connection)
        except psycopg.Error as error:
            raise InvalidatePoolError from error

    event.listen(engine.sync_engine, "checkin", put_back)
    event.listen(engine.sync_engine, "checkout", take)
