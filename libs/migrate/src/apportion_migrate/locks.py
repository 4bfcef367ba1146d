"""The lock of a service's migrations: taken by polling, held by the session that runs the DDL, never behind a pooler.

It is polled in autocommit: a blocking wait, or a poll inside a transaction, would hold a snapshot that a concurrent
index build of the holder waits for. It belongs to the DDL's own session: a runner that is killed leaves the lock taken
for as long as its statement still runs, so the next runner waits for the orphan instead of racing it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection

from apportion_migrate.errors import LockBusyError, PoolerError

LOCK_POLL_MS: Final = 200
LOCK_POLL_JITTER_MS: Final = 100
LOCK_WAIT_S: Final = 120
"""Longest wait for another run to release a service's lock."""


def lock_key(service: str) -> int:
    """Return the advisory lock of a service's migrations: the first 8 bytes of a hash, as PostgreSQL's signed bigint.

    PostgreSQL keeps advisory locks per database; services that share one have different keys.
    """
    return int.from_bytes(sha256(f"apportion.migrations.{service}".encode()).digest()[:8], "big", signed=True)


@contextmanager
def service_lock(
    connection: Connection, service: str, *, wait_s: int = LOCK_WAIT_S, on_wait: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold a service's lock in this session, which must be in autocommit while it waits.

    `on_wait` hears who holds it, once for each holder. After a failure the lock is left to the session's end. Raises
    PoolerError where the session is a pooler's, LockBusyError when the lock is not free within `wait_s`.
    """
    backend = require_direct(connection, service)
    _poll(connection, service, wait_s, on_wait or (lambda _holder: None))
    yield
    _require_same(connection, service, backend)
    released = connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (lock_key(service),)).scalar_one()
    connection.commit()
    if not released:
        raise PoolerError(f"The lock of {service} was lost while its step ran.")


def require_direct(connection: Connection, service: str) -> int:
    """See that this session has a backend of its own; return the backend's process id.

    A pooler in transaction mode hands the backend of an idle client to the next one: so another session is opened and
    kept busy between two looks at our own. Raises PoolerError.
    """
    mine = _backend(connection)
    with connection.engine.connect() as other, other.begin():
        if int(other.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()) == mine:
            raise _pooler(service)
        _require_same(connection, service, mine)
    return mine


def _poll(connection: Connection, service: str, wait_s: int, on_wait: Callable[[str], None]) -> None:
    """Ask for the lock again and again, each time in a statement of its own."""
    key = lock_key(service)
    deadline = time.monotonic() + wait_s
    told: str | None = None
    while True:
        taken = connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s)", (key,)).scalar_one()
        connection.commit()
        if taken:
            return
        holder = _holder(connection, key)
        if holder != told:
            on_wait(holder)
            told = holder
        if time.monotonic() >= deadline:
            raise LockBusyError(f"The migration of {service} is locked by {holder} for over {wait_s} s.")
        time.sleep((LOCK_POLL_MS + random.randrange(LOCK_POLL_JITTER_MS)) / 1000)


def _backend(connection: Connection) -> int:
    backend = int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
    connection.commit()
    return backend


def _require_same(connection: Connection, service: str, backend: int) -> None:
    """See that statements still go to the backend that they went to."""
    if _backend(connection) != backend:
        raise _pooler(service)


def _pooler(service: str) -> PoolerError:
    return PoolerError(
        f"The migration URL of {service} leads through a pooler in transaction mode, where no lock holds; "
        "name the server itself."
    )


def _holder(connection: Connection, key: int) -> str:
    """Return who holds an advisory lock of this database, for a person to find them."""
    unsigned = key % (1 << 64)
    row = connection.exec_driver_sql(
        """
        SELECT a.application_name, a.usename, a.pid, a.backend_start
        FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND l.classid = %s::bigint::oid AND l.objid = %s::bigint::oid
        """,
        (unsigned >> 32, unsigned & 0xFFFF_FFFF),
    ).first()
    connection.commit()
    if row is None:
        return "a session that has just ended"
    return f"{row[0] or 'an unnamed session'} (role {row[1]}, backend {row[2]}, since {row[3]:%Y-%m-%d %H:%M:%S%z})"
