"""Whose fault is an error: the surroundings' (wait and try again) or the data's (it will fail again)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal, TypeVar

import grpc
import nats.errors
import psycopg
import sqlalchemy.exc

from apportion_common.backoff import Backoff
from apportion_common.errors import ResourceExhausted, Unavailable

Fault = Literal["infrastructure", "data"]
T = TypeVar("T")

INFRASTRUCTURE_CLASSES: Final = frozenset({"08", "28", "3D", "40", "53", "55", "57", "58"})
"""SQLSTATE classes: connection, authorisation, no database, rollback, resources, object state, operator, system."""
INFRASTRUCTURE_STATES: Final = frozenset(
    {
        "25006",  # the server became a read-only standby
        "25P03",  # idle in transaction for too long: this process was paused
        "25P04",  # transaction timeout
        "42501",  # a grant is missing: the deployment's fault, no event is to blame
        "42P01",  # a table is missing: migrations have not run
        "42703",  # a column is missing
        "42883",  # a function is missing
    }
)
CONFLICT_STATES: Final = frozenset({"40001", "40P01"})
"""Serialisation failure and deadlock: the transaction may be run again at once."""
CONFLICT_TRIES: Final = 5
CONFLICT_FIRST_S: Final = 0.02
CONFLICT_MAX_S: Final = 0.2
"""Longest pause before a transaction is run again: two that met each other shall not meet again."""

_MESSAGE_FAULTS: Final = (nats.errors.MaxPayloadError, nats.errors.BadSubjectError, nats.errors.BadHeaderError)
_ANSWERED: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
    }
)


def sqlstate_of(error: BaseException) -> str | None:
    """Return the SQLSTATE of a database error, also inside SQLAlchemy's wrapper; None when there is none."""
    if isinstance(error, sqlalchemy.exc.DBAPIError) and error.orig is not None:
        error = error.orig
    return error.sqlstate if isinstance(error, psycopg.Error) else None


def classify(error: BaseException) -> Fault:
    """Say whether an error comes from the surroundings or from the data that was worked on.

    Infrastructure errors are retried forever and never make a dead letter (the money flow's rule on dead letters
    inside a batch): SQLSTATE classes of the connection, resources and the operator, lost connections, time-outs,
    NATS errors, OSError, Unavailable, and calls that another service did not answer. Everything else is data.
    """
    if isinstance(error, BaseExceptionGroup):
        faults = {classify(inner) for inner in error.exceptions}
        return "infrastructure" if faults == {"infrastructure"} else "data"
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        if error.connection_invalidated:
            return "infrastructure"
        if error.orig is not None:
            return classify(error.orig)
    if isinstance(error, psycopg.Error):
        return _classify_psycopg(error)
    if isinstance(error, _MESSAGE_FAULTS):
        return "data"
    if isinstance(error, grpc.RpcError):
        code = error.code() if isinstance(error, grpc.aio.AioRpcError) else None
        return "data" if code in _ANSWERED else "infrastructure"
    outside = (
        asyncio.TimeoutError,
        sqlalchemy.exc.TimeoutError,
        nats.errors.Error,
        OSError,
        Unavailable,
        ResourceExhausted,
    )
    return "infrastructure" if isinstance(error, outside) else "data"


def _classify_psycopg(error: psycopg.Error) -> Fault:
    state = error.sqlstate
    if state is None:
        # No SQLSTATE: the server never answered (connection refused, lost or closed), or psycopg refused the values.
        lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return "infrastructure" if lost else "data"
    known = state[:2] in INFRASTRUCTURE_CLASSES or state in INFRASTRUCTURE_STATES
    return "infrastructure" if known else "data"


def is_conflict(error: BaseException) -> bool:
    """Return whether a transaction lost against another one and may simply be run again."""
    return sqlstate_of(error) in CONFLICT_STATES


async def retry_conflicts(work: Callable[[], Awaitable[T]]) -> T:
    """Run a whole transaction, again after a serialisation failure or deadlock, at most CONFLICT_TRIES times.

    `work` opens its own transaction and has no effect outside it. The last error is raised as it came.
    """
    backoff = Backoff(CONFLICT_FIRST_S, CONFLICT_MAX_S)
    for attempt in range(CONFLICT_TRIES):
        try:
            return await work()
        except (sqlalchemy.exc.DBAPIError, psycopg.Error) as error:
            if attempt + 1 == CONFLICT_TRIES or not is_conflict(error):
                raise
            await backoff.wait(attempt + 1)
    raise AssertionError("The last try either returns or raises.")
