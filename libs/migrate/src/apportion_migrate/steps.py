"""One step of the plan, there or back, in a session that holds the lock of the step's service.

Each step looks first where the database stands now: another run may have been at work since the plan was asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from apportion_migrate.adoption import require_same_baseline, standing_tables
from apportion_migrate.checksums import (
    CREATE_CHECKSUM_TABLE,
    Applied,
    checksums,
    insert_statement,
    recorded,
)
from apportion_migrate.databases import current_version, require_unchanged, revisions_at
from apportion_migrate.errors import ConflictsError, MigrationError
from apportion_migrate.plan import BASE, Plan, Step
from apportion_migrate.preflight import Check, Finding, PreflightError, run_checks
from apportion_migrate.revision import notes_of

RETRIES_MAX: Final = 5
RETRY_MS: Final = 500
"""Before the first retry; each next one waits twice as long."""
RETRIED_SQLSTATES: Final = frozenset({"55P03", "40P01", "40001"})
"""Lock not available, deadlock, serialization failure: all that a retry can mend."""

ProgressKind = Literal["checked", "waiting", "applying", "retrying", "applied", "adopted", "already", "undone"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Something that happened to a step, with what there is to say about it."""

    kind: ProgressKind
    step: Step
    details: dict[str, str | int | None] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]
"""Hears of all that happens."""


def apply_step(plan: Plan, step: Step, connection: Connection, report: OnProgress) -> None:
    """Apply a step if the database is not there yet; a baseline whose tables stand without a version is adopted.

    Raises ChecksumError, ConflictsError for blocking rows, and MigrationError for a step that failed.
    """
    before = current_version(connection, step.service)
    applied = recorded(connection)
    require_unchanged(plan, step.service, before, applied)
    if step.revision in revisions_at(plan, step.service, before):
        _record(plan, step, connection, applied)
        report(Progress("already", step, {"version": before}))
        return
    require_none(findings_of(step, connection, checks_of(plan, step)))
    report(Progress("applying", step, {"version": before}))
    started = time.monotonic()
    script = plan.revision_of(step)
    adopts = before is None and bool(standing_tables(connection, script, step.service))
    connection.commit()
    if adopts:
        connection.execution_options(isolation_level="READ COMMITTED")
        require_same_baseline(connection, script, step.service)
    _run(plan, step, connection, report, command.stamp if adopts else command.upgrade, step.revision)
    _require_version(connection, step.service, step.revision)
    details = {"before": before, "version": step.revision, "took_ms": _since_ms(started)}
    report(Progress("adopted" if adopts else "applied", step, details))


def undo_step(plan: Plan, step: Step, connection: Connection, report: OnProgress) -> None:
    """Undo a step if the database has it. Raises MigrationError for a step that failed."""
    before = current_version(connection, step.service)
    if step.revision not in revisions_at(plan, step.service, before):
        report(Progress("already", step, {"version": before}))
        return
    report(Progress("applying", step, {"version": before}))
    started = time.monotonic()
    target = plan.revision_of(step).down_revision
    after = None if target is None else str(target)
    _run(plan, step, connection, report, command.downgrade, after or BASE)
    _require_version(connection, step.service, after)
    report(Progress("undone", step, {"before": before, "version": after, "took_ms": _since_ms(started)}))


def checks_of(plan: Plan, step: Step) -> tuple[Check, ...]:
    """Return the pre-flight checks of a step."""
    notes = notes_of(plan.revision_of(step))
    return () if notes is None else notes.checks


def findings_of(step: Step, connection: Connection, checks: Sequence[Check]) -> list[Finding]:
    """Return what the checks of a step find, each with its service; MigrationError when one cannot be asked."""
    if not checks:
        return []
    connection.commit()
    try:
        return [replace(finding, service=step.service) for finding in run_checks(connection, checks)]
    except PreflightError as error:
        raise MigrationError(f"{step.revision}: {error}") from error


def require_none(findings: Sequence[Finding]) -> None:
    """Raise ConflictsError when the checks found anything."""
    if findings:
        names = ", ".join(f"{finding.service} {finding.check.name}" for finding in findings)
        raise ConflictsError(f"Rows are blocking, so nothing was changed: {names}.", findings)


def _run(
    plan: Plan,
    step: Step,
    connection: Connection,
    report: OnProgress,
    act: Callable[[Config, str], None],
    revision: str,
) -> None:
    """Run one of Alembic's commands on this connection, again after a lock or serialization failure."""
    config = plan.alembic_config(step.service)
    config.attributes["connection"] = connection
    connection.commit()
    for attempt in range(1, RETRIES_MAX + 1):
        connection.execution_options(isolation_level="READ COMMITTED")
        try:
            act(config, revision)
        except (DBAPIError, CommandError) as error:
            connection.rollback()
            sqlstate = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
            if sqlstate not in RETRIED_SQLSTATES or attempt == RETRIES_MAX:
                cause = error.orig if isinstance(error, DBAPIError) else error
                raise MigrationError(f"{step.service} could not go to {revision}: {cause}") from error
            report(Progress("retrying", step, {"attempt": attempt, "sqlstate": sqlstate}))
            time.sleep((RETRY_MS << (attempt - 1)) / 1000)
        else:
            break
    connection.commit()
    connection.execution_options(isolation_level="AUTOCOMMIT")


def _record(plan: Plan, step: Step, connection: Connection, applied: Mapping[str, Applied]) -> None:
    """Record the checksum of a revision that was applied before checksums were kept."""
    if step.revision in applied:
        return
    text = checksums(plan.script(step.service), step.service)[step.revision]
    connection.exec_driver_sql(CREATE_CHECKSUM_TABLE)
    connection.exec_driver_sql(insert_statement(step.revision, text, adopted=False))


def _require_version(connection: Connection, service: str, wanted: str | None) -> None:
    """See that a step led where it should."""
    version = current_version(connection, service)
    if version != wanted:
        raise MigrationError(f"{service} stands at {version or BASE} after the step to {wanted or BASE}.")


def _since_ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
