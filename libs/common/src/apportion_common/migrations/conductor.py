"""Carries the plan out: one step at a time, under a lock of the session that runs the DDL, each step once.

The lock is polled in autocommit: a blocking wait, or a poll inside a transaction, would hold a snapshot that a
concurrent index build of the holder waits for. It is held by the DDL's own session: a runner that is killed leaves
the lock taken for as long as its statement still runs, so the next runner waits for the orphan instead of racing it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from io import StringIO
from typing import Final, Literal

from alembic import command
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from apportion_common.migrations.environment import apply_session_settings, migration_engine, migration_url
from apportion_common.migrations.plan import Plan, Step

LOCK_POLL_MS: Final = 200
LOCK_POLL_JITTER_MS: Final = 100
LOCK_WAIT_S: Final = 120
"""Longest wait for another run to release a service's lock."""
RETRIES_MAX: Final = 5
RETRY_MS: Final = 500
"""Before the first retry; each next one waits twice as long."""
RETRIED_SQLSTATES: Final = frozenset({"55P03", "40P01", "40001"})
"""Lock not available, deadlock, serialization failure: all that a retry can mend."""

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_LOCKED: Final = 75
"""EX_TEMPFAIL of sysexits.h: another run holds the lock; try again later."""

ProgressKind = Literal["waiting", "applying", "retrying", "applied", "already"]


class MigrationError(RuntimeError):
    """A step could not be carried out; what was done before it stays."""


class LockBusyError(MigrationError):
    """Another run held a service's lock for longer than this one would wait; the message names the holder."""


class PoolerError(MigrationError):
    """The session changes between statements: a pooler in transaction mode, under which no session lock holds."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Something that happened to a step, with what there is to say about it."""

    kind: ProgressKind
    step: Step
    details: dict[str, str | int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepState:
    """A step, and whether the database is at or beyond it."""

    step: Step
    done: bool


@dataclass(frozen=True, slots=True)
class Status:
    """Where every service stands (None: nothing applied), and which steps that covers."""

    versions: dict[str, str | None]
    steps: tuple[StepState, ...]

    @property
    def complete(self) -> bool:
        """Whether the whole plan is carried out."""
        return all(state.done for state in self.steps)


def up(
    plan: Plan,
    *,
    report: Callable[[Progress], None],
    lock_wait_s: int = LOCK_WAIT_S,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Bring every service to the plan's end, step by step in the plan's order; what is done already is left alone.

    `report` hears of all that happens. The URLs come from <SERVICE>_MIGRATION_DATABASE_URL in `environ` (the process's
    own when None). Raises PlanError and MigrationSettingError before anything is changed, LockBusyError when another
    run keeps a lock for `lock_wait_s`, PoolerError, and MigrationError for a step that failed.
    """
    plan.check()
    for service in plan.services:
        migration_url(service, environ)
    for step in plan.steps:
        with _session(step.service, environ) as connection:
            _carry_out(plan, step, connection, report, lock_wait_s)


def status(plan: Plan, environ: Mapping[str, str] | None = None) -> Status:
    """Where every service stands; changes nothing. Raises as `up` does, but never waits for a lock."""
    plan.check()
    versions: dict[str, str | None] = {}
    covered: dict[str, frozenset[str]] = {}
    for service in plan.services:
        with _session(service, environ) as connection:
            versions[service] = current_version(connection, service)
        covered[service] = _covered(plan, service, versions[service])
    steps = (StepState(step, step.revision in covered[step.service]) for step in plan.steps)
    return Status(versions, tuple(steps))


def sql(plan: Plan) -> Iterator[tuple[Step, str]]:
    """The SQL of each step from an empty database on, in the plan's order; needs no database."""
    plan.check()
    for step in plan.steps:
        buffer = StringIO()
        config = plan.alembic_config(step.service)
        config.output_buffer = buffer
        before = plan.script(step.service).get_revision(step.revision).down_revision
        command.upgrade(config, step.revision if before is None else f"{before}:{step.revision}", sql=True)
        yield step, buffer.getvalue()


def lock_key(service: str) -> int:
    """The advisory lock of a service's migrations: the first 8 bytes of a hash, as PostgreSQL's signed bigint."""
    return int.from_bytes(sha256(f"apportion.migrations.{service}".encode()).digest()[:8], "big", signed=True)


def current_version(connection: Connection, service: str) -> str | None:
    """The revision that a database stands at, None before the first; MigrationError when it has several."""
    heads = MigrationContext.configure(connection).get_current_heads()
    connection.commit()
    if len(heads) > 1:
        raise MigrationError(f"{service} stands at several revisions at once: {', '.join(sorted(heads))}.")
    return heads[0] if heads else None


def _carry_out(
    plan: Plan, step: Step, connection: Connection, report: Callable[[Progress], None], lock_wait_s: int
) -> None:
    """Take the lock, look where the database stands now, and apply the step if it is beyond that."""
    backend = _lock(connection, step, report, lock_wait_s)
    before = current_version(connection, step.service)
    if step.revision in _covered(plan, step.service, before):
        report(Progress("already", step, {"version": before}))
    else:
        report(Progress("applying", step, {"version": before}))
        started = time.monotonic()
        _apply(plan, step, connection, report)
        after = current_version(connection, step.service)
        if after != step.revision:
            raise MigrationError(f"{step.service} stands at {after} after the step to {step.revision}.")
        took_ms = round((time.monotonic() - started) * 1000)
        report(Progress("applied", step, {"before": before, "version": after, "took_ms": took_ms}))
    _unlock(connection, step, backend)


def _apply(plan: Plan, step: Step, connection: Connection, report: Callable[[Progress], None]) -> None:
    """Run Alembic to the step's revision on this connection, again after a lock or serialization failure."""
    config = plan.alembic_config(step.service)
    config.attributes["connection"] = connection
    for attempt in range(1, RETRIES_MAX + 1):
        connection.execution_options(isolation_level="READ COMMITTED")
        try:
            command.upgrade(config, step.revision)
        except (DBAPIError, CommandError) as error:
            connection.rollback()
            sqlstate = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
            if sqlstate not in RETRIED_SQLSTATES or attempt == RETRIES_MAX:
                cause = error.orig if isinstance(error, DBAPIError) else error
                raise MigrationError(f"{step.service} could not go to {step.revision}: {cause}") from error
            report(Progress("retrying", step, {"attempt": attempt, "sqlstate": sqlstate}))
            _sleep_ms(RETRY_MS << (attempt - 1))
        else:
            break
    connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def _session(service: str, environ: Mapping[str, str] | None) -> Iterator[Connection]:
    """A session of a service's database owner, in autocommit, with the migration's time-outs; closed at the end."""
    engine = migration_engine(migration_url(service, environ))
    try:
        connection = engine.connect()
    except DBAPIError as error:
        raise MigrationError(f"The database of {service} does not answer: {error.orig}") from error
    with connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        apply_session_settings(connection, service)
        yield connection


def _lock(connection: Connection, step: Step, report: Callable[[Progress], None], lock_wait_s: int) -> int:
    """Poll for the service's lock until it is ours; gives the process id of our session's backend."""
    key = lock_key(step.service)
    deadline = time.monotonic() + lock_wait_s
    told: str | None = None
    while True:
        row = connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s), pg_backend_pid()", (key,)).one()
        connection.commit()
        backend = int(row[1])
        if row[0]:
            _require_same_backend(connection, step, backend)
            return backend
        holder = _holder(connection, key)
        if holder != told:
            report(Progress("waiting", step, {"holder": holder}))
            told = holder
        if time.monotonic() >= deadline:
            raise LockBusyError(f"The migration of {step.service} is locked by {holder} for over {lock_wait_s} s.")
        _sleep_ms(LOCK_POLL_MS + random.randrange(LOCK_POLL_JITTER_MS))


def _unlock(connection: Connection, step: Step, backend: int) -> None:
    """Give the lock back; PoolerError when it was not ours any more."""
    _require_same_backend(connection, step, backend)
    released = connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (lock_key(step.service),)).scalar_one()
    connection.commit()
    if not released:
        raise PoolerError(f"The lock of {step.service} was lost while its step ran.")


def _require_same_backend(connection: Connection, step: Step, backend: int) -> None:
    """See that statements still go to the session that took the lock."""
    now = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    connection.commit()
    if now != backend:
        raise PoolerError(
            f"The migration URL of {step.service} leads through a pooler in transaction mode; name the server itself."
        )


def _holder(connection: Connection, key: int) -> str:
    """Who holds an advisory lock of this database, for a person to find them."""
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


def _covered(plan: Plan, service: str, version: str | None) -> frozenset[str]:
    """The revisions that a database at this version has; MigrationError when the checkout does not know the version."""
    if version is None:
        return frozenset()
    script = plan.script(service)
    # Looked for in the list: Alembic's own search would take the beginning of an id for the id.
    if version not in {revision.revision for revision in script.walk_revisions()}:
        raise MigrationError(f"{service} stands at {version}, which this checkout does not know.")
    return frozenset(revision.revision for revision in script.iterate_revisions(version, "base"))


def _sleep_ms(duration_ms: int) -> None:
    time.sleep(duration_ms / 1000)
