"""Carries the plan out: one step at a time, under a lock of the session that runs the DDL, each step once.

Up: every pre-flight check of what is to come, in every database; then the steps in the plan's order; then a look at
what came of it. Down: the same steps in reverse order. Each step locks its own database, then reads again where that
database and its neighbour in the plan stand: another run may have been at work meanwhile.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import StringIO
from typing import Final, Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from apportion_common.migrations.adoption import require_same_baseline, standing_tables
from apportion_common.migrations.checksums import (
    CREATE_CHECKSUM_TABLE,
    Applied,
    checksums,
    insert_statement,
    recorded,
)
from apportion_common.migrations.environment import (
    apply_session_settings,
    migration_engine,
    migration_url,
    require_urls,
)
from apportion_common.migrations.errors import (
    ChecksumError,
    ConflictsError,
    IrreversibleError,
    LockBusyError,
    MigrationError,
    NotReachedError,
    PlanMovedError,
    PoolerError,
    VerificationError,
)
from apportion_common.migrations.locks import LOCK_WAIT_S, lock_key, service_lock
from apportion_common.migrations.losses import tables_with_rows_lost
from apportion_common.migrations.plan import Plan, PlanError, Step
from apportion_common.migrations.preflight import Check, Finding, PreflightError, run_checks
from apportion_common.migrations.revision import notes_of
from apportion_common.migrations.verification import unsound

__all__ = [
    "BASE",
    "EXIT_CONFLICTS",
    "EXIT_FAILED",
    "EXIT_LOCKED",
    "EXIT_OK",
    "LOCK_WAIT_S",
    "ConflictsError",
    "LockBusyError",
    "MigrationError",
    "PoolerError",
    "Progress",
    "Status",
    "StepState",
    "down",
    "lock_key",
    "sql",
    "status",
    "up",
    "wait",
]

RETRIES_MAX: Final = 5
RETRY_MS: Final = 500
"""Before the first retry; each next one waits twice as long."""
RETRIED_SQLSTATES: Final = frozenset({"55P03", "40P01", "40001"})
"""Lock not available, deadlock, serialization failure: all that a retry can mend."""
WAIT_POLL_MS: Final = 500
WAIT_POLL_JITTER_MS: Final = 250
"""Between two looks of a service that waits for its revision; the jitter keeps many pods apart."""
WAIT_S: Final = 300
"""Longest wait of a service for its revision."""

BASE: Final = "base"
"""What `down` calls the state before the first step."""

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_CONFLICTS: Final = 3
"""Pre-flight found rows in the way; nothing was changed, and trying again will not help."""
EXIT_LOCKED: Final = 75
"""EX_TEMPFAIL of sysexits.h: another run holds the lock, or the time is not yet come; try again later."""

ProgressKind = Literal["checked", "waiting", "applying", "retrying", "applied", "adopted", "already", "undone"]

Environ = Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Progress:
    """Something that happened to a step, with what there is to say about it."""

    kind: ProgressKind
    step: Step
    details: dict[str, str | int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepState:
    """A step, whether the database is at or beyond it, and whether its tables were adopted or could be."""

    step: Step
    done: bool
    adopted: bool = False
    standing: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """Where every service stands (None: nothing applied), which steps that covers, and what is amiss."""

    versions: dict[str, str | None]
    steps: tuple[StepState, ...]
    amiss: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the whole plan is carried out, and nothing is amiss."""
        return all(state.done for state in self.steps) and not self.amiss


def up(
    plan: Plan,
    *,
    report: Callable[[Progress], None],
    to: str | None = None,
    lock_wait_s: int = LOCK_WAIT_S,
    environ: Environ = None,
) -> None:
    """Bring every service to the plan's end, or as far as the step `to`; what is done already is left alone.

    `report` hears of all that happens. The URLs come from <SERVICE>_MIGRATION_DATABASE_URL in `environ` (the process's
    own when None). Before anything is changed: PlanError, MigrationSettingError, ChecksumError, and ConflictsError for
    rows that are in the way. Then LockBusyError when another run keeps a lock for `lock_wait_s`, PoolerError,
    MigrationError for a step that failed, and VerificationError at the end.
    """
    plan.check()
    steps = plan.steps if to is None else plan.steps[: plan.step(to).number]
    require_urls(plan.services, environ)
    for service in plan.services:
        with _session(service, environ) as connection:
            _require_unchanged(plan, service, current_version(connection, service), recorded(connection))
    _preflight(plan, steps, report, environ)
    for step in steps:
        with (
            _session(step.service, environ) as connection,
            service_lock(connection, step.service, wait_s=lock_wait_s, on_wait=_on_wait(report, step)),
        ):
            _require_neighbour(plan, step, -1, environ)
            _carry_out(plan, step, connection, report)
    _verify(plan, steps, environ)


def down(
    plan: Plan,
    *,
    to: str,
    report: Callable[[Progress], None],
    destroy: Collection[str] = (),
    lock_wait_s: int = LOCK_WAIT_S,
    environ: Environ = None,
) -> None:
    """Undo the steps beyond `to` (a revision of the plan, or "base" for all) in the reverse order of the plan.

    A revision that cannot be brought back, a baseline that was adopted, and whatever would drop a table with rows in
    it is undone only when `destroy` names it: IrreversibleError before anything is changed otherwise. Raises as `up`
    does for the rest.
    """
    plan.check()
    require_urls(plan.services, environ)
    undone = plan.steps if to == BASE else plan.steps[plan.step(to).number :]
    _require_word(plan, undone, destroy, environ)
    for step in reversed(undone):
        with (
            _session(step.service, environ) as connection,
            service_lock(connection, step.service, wait_s=lock_wait_s, on_wait=_on_wait(report, step)),
        ):
            _require_neighbour(plan, step, +1, environ)
            _undo(plan, step, connection, report)


def status(plan: Plan, environ: Environ = None) -> Status:
    """Where every service stands; changes nothing. Raises as `up` does, but never waits for a lock."""
    plan.check()
    require_urls(plan.services, environ)
    versions: dict[str, str | None] = {}
    states: dict[Step, StepState] = {}
    amiss: list[str] = []
    for service in plan.services:
        steps = [step for step in plan.steps if step.service == service]
        with _session(service, environ) as connection:
            version = current_version(connection, service)
            applied = recorded(connection)
            covered = _covered(plan, service, version)
            stands = version is None and bool(standing_tables(connection, _script(plan, steps[0]), service))
            amiss += [f"{service}: {line}" for line in unsound(connection, at_head=steps[-1].revision in covered)]
        versions[service] = version
        amiss += [f"{service}: {line}" for line in _changed(plan, service, covered, applied)]
        for step in steps:
            adopted = step.revision in applied and applied[step.revision].adopted
            standing = stands and step is steps[0]
            states[step] = StepState(step, step.revision in covered, adopted, standing)
    return Status(versions, tuple(states[step] for step in plan.steps), tuple(amiss))


def wait(
    plan: Plan,
    service: str,
    at_least: str,
    *,
    url_variable: str | None = None,
    wait_s: int = WAIT_S,
    on_wait: Callable[[str], None] | None = None,
    environ: Environ = None,
) -> None:
    """Wait until a service's database is at a revision or beyond; only reads, so that any role of it may.

    A database that is ahead of this checkout counts as beyond when it says that the revision was applied to it.
    The URL is the owner's, or the one in `url_variable`. Raises NotReachedError after `wait_s`, PlanError for a
    revision that the plan does not have.
    """
    if plan.step(at_least).service != service:
        raise PlanError(f"{at_least} is no revision of {service}.")
    deadline = time.monotonic() + wait_s
    told: str | None = None
    while True:
        found = _reached(plan, service, at_least, url_variable, environ)
        if found is None:
            return
        if found != told and on_wait is not None:
            on_wait(found)
        told = found
        if time.monotonic() >= deadline:
            raise NotReachedError(f"{service} is not at {at_least} after {wait_s} s: {found}.")
        _sleep_ms(WAIT_POLL_MS + random.randrange(WAIT_POLL_JITTER_MS))


def sql(plan: Plan, to: str | None = None) -> Iterator[tuple[Step, str]]:
    """The SQL of each step from an empty database on, in the plan's order; needs no database."""
    plan.check()
    for step in plan.steps if to is None else plan.steps[: plan.step(to).number]:
        buffer = StringIO()
        config = plan.alembic_config(step.service)
        config.output_buffer = buffer
        before = _script(plan, step).down_revision
        command.upgrade(config, step.revision if before is None else f"{before}:{step.revision}", sql=True)
        yield step, buffer.getvalue()


def current_version(connection: Connection, service: str) -> str | None:
    """The revision that a database stands at, None before the first; MigrationError when it has several.

    A session that has not begun a transaction is left so.
    """
    outside = not connection.in_transaction()
    heads = MigrationContext.configure(connection).get_current_heads()
    if outside:
        connection.commit()
    if len(heads) > 1:
        raise MigrationError(f"{service} stands at several revisions at once: {', '.join(sorted(heads))}.")
    return heads[0] if heads else None


def _preflight(plan: Plan, steps: Sequence[Step], report: Callable[[Progress], None], environ: Environ) -> None:
    """Ask the checks of all steps that are still to come, in every database, before anything is changed."""
    findings: list[Finding] = []
    for service in plan.services:
        with _session(service, environ) as connection:
            covered = _covered(plan, service, current_version(connection, service))
            pending = [step for step in steps if step.service == service and step.revision not in covered]
            for step in pending:
                checks = _checks(plan, step)
                found = _ask(connection, step, checks)
                findings += found
                if checks:
                    report(Progress("checked", step, {"checks": len(checks), "conflicts": len(found)}))
    _require_none(findings)


def _carry_out(plan: Plan, step: Step, connection: Connection, report: Callable[[Progress], None]) -> None:
    """Look where the database stands now, under its lock, and apply the step if it is beyond that."""
    before = current_version(connection, step.service)
    applied = recorded(connection)
    _require_unchanged(plan, step.service, before, applied)
    if step.revision in _covered(plan, step.service, before):
        _record(plan, step, connection, applied)
        report(Progress("already", step, {"version": before}))
        return
    _require_none(_ask(connection, step, _checks(plan, step)))
    report(Progress("applying", step, {"version": before}))
    started = time.monotonic()
    script = _script(plan, step)
    adopts = before is None and bool(standing_tables(connection, script, step.service))
    connection.commit()
    if adopts:
        connection.execution_options(isolation_level="READ COMMITTED")
        require_same_baseline(connection, script, step.service)
    _run(plan, step, connection, report, command.stamp if adopts else command.upgrade, step.revision)
    _require_version(connection, step.service, step.revision)
    details = {"before": before, "version": step.revision, "took_ms": _since_ms(started)}
    report(Progress("adopted" if adopts else "applied", step, details))


def _undo(plan: Plan, step: Step, connection: Connection, report: Callable[[Progress], None]) -> None:
    """Look where the database stands now, under its lock, and undo the step if it is there."""
    before = current_version(connection, step.service)
    if step.revision not in _covered(plan, step.service, before):
        report(Progress("already", step, {"version": before}))
        return
    report(Progress("applying", step, {"version": before}))
    started = time.monotonic()
    target = _script(plan, step).down_revision
    after = None if target is None else str(target)
    _run(plan, step, connection, report, command.downgrade, after or BASE)
    _require_version(connection, step.service, after)
    report(Progress("undone", step, {"before": before, "version": after, "took_ms": _since_ms(started)}))


def _run(
    plan: Plan,
    step: Step,
    connection: Connection,
    report: Callable[[Progress], None],
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
            _sleep_ms(RETRY_MS << (attempt - 1))
        else:
            break
    connection.commit()
    connection.execution_options(isolation_level="AUTOCOMMIT")


def _verify(plan: Plan, steps: Sequence[Step], environ: Environ) -> None:
    """See that every service is where its last step leads, with nothing half-built; raises VerificationError."""
    found: list[str] = []
    for service in dict.fromkeys(step.service for step in steps):
        last = [step for step in steps if step.service == service][-1]
        with _session(service, environ) as connection:
            version = current_version(connection, service)
            if last.revision not in _covered(plan, service, version):
                raise PlanMovedError(f"{service} is back at {version or BASE}: another run undoes the plan meanwhile.")
            found += [f"{service}: {line}" for line in unsound(connection, at_head=last.number == _end(plan, service))]
    if found:
        raise VerificationError(f"Every step is done, but {'; '.join(found)}.")


def _require_neighbour(plan: Plan, step: Step, offset: Literal[-1, 1], environ: Environ) -> None:
    """See that the step before this one is done (or, on the way down, the one after it undone) at this moment."""
    index = step.number - 1 + offset
    if not 0 <= index < len(plan.steps):
        return
    neighbour = plan.steps[index]
    with _session(neighbour.service, environ) as connection:
        version = current_version(connection, neighbour.service)
    done = neighbour.revision in _covered(plan, neighbour.service, version)
    if done != (offset == -1):
        raise PlanMovedError(
            f"{step.service} cannot go on with {step.revision}: {neighbour.service} is at {version or BASE} now, "
            "another run moves the plan the other way."
        )


def _require_word(plan: Plan, steps: Sequence[Step], destroy: Collection[str], environ: Environ) -> None:
    """See that everything irreversible on the way back was named, and nothing else; raises IrreversibleError."""
    strangers = sorted(set(destroy) - {step.revision for step in steps})
    if strangers:
        raise IrreversibleError(f"{', '.join(strangers)} would not be undone, so there is nothing to destroy.")
    refused: list[str] = []
    for service in dict.fromkeys(step.service for step in steps):
        with _session(service, environ) as connection:
            covered = _covered(plan, service, current_version(connection, service))
            applied = recorded(connection)
            for step in steps:
                if step.service != service or step.revision not in covered or step.revision in destroy:
                    continue
                reason = _loss(plan, step, connection, applied)
                if reason:
                    refused.append(f'--destroy "{step.revision}" ({reason})')
    if refused:
        raise IrreversibleError(f"This way back loses what nothing brings back. To go it, say {', '.join(refused)}.")


def _loss(plan: Plan, step: Step, connection: Connection, applied: Mapping[str, Applied]) -> str:
    """Why undoing a step needs its name said; empty when it does not."""
    script = _script(plan, step)
    notes = notes_of(script)
    if step.revision in applied and applied[step.revision].adopted:
        return "its tables were adopted, not made here"
    if notes is None:
        return "it does not say that it can be undone"
    if not notes.reversible:
        return notes.irreversible_reason
    lost = tables_with_rows_lost(connection, script, step.service)
    return f"it drops what is in {', '.join(lost)}" if lost else ""


def _require_unchanged(plan: Plan, service: str, version: str | None, applied: Mapping[str, Applied]) -> None:
    """See that the revisions that were applied are the checkout's; raises ChecksumError."""
    found = _changed(plan, service, _covered(plan, service, version), applied)
    if found:
        raise ChecksumError(f"Applied revisions never change, but in {service} {'; '.join(found)}.")


def _changed(plan: Plan, service: str, covered: Collection[str], applied: Mapping[str, Applied]) -> list[str]:
    """One line for each applied revision whose SQL in the checkout is not what was applied."""
    if not applied:
        return []
    now = checksums(plan.script(service), service)
    return [
        f"{revision} was applied as {entry.checksum[:12]} and is {now[revision][:12]} now"
        for revision, entry in applied.items()
        if revision in covered and revision in now and entry.checksum != now[revision]
    ]


def _record(plan: Plan, step: Step, connection: Connection, applied: Mapping[str, Applied]) -> None:
    """Record the checksum of a revision that was applied before checksums were kept."""
    if step.revision in applied:
        return
    text = checksums(plan.script(step.service), step.service)[step.revision]
    connection.exec_driver_sql(CREATE_CHECKSUM_TABLE)
    connection.exec_driver_sql(insert_statement(step.revision, text, adopted=False))


def _require_none(findings: Sequence[Finding]) -> None:
    """Raises ConflictsError when the checks found anything."""
    if findings:
        names = ", ".join(f"{finding.service} {finding.check.name}" for finding in findings)
        raise ConflictsError(f"Rows are in the way, so nothing was changed: {names}.", findings)


def _ask(connection: Connection, step: Step, checks: Sequence[Check]) -> list[Finding]:
    """What the checks of a step find, each with its service; MigrationError when one cannot be asked."""
    if not checks:
        return []
    connection.commit()
    try:
        return [replace(finding, service=step.service) for finding in run_checks(connection, checks)]
    except PreflightError as error:
        raise MigrationError(f"{step.revision}: {error}") from error


def _checks(plan: Plan, step: Step) -> tuple[Check, ...]:
    notes = notes_of(_script(plan, step))
    return () if notes is None else notes.checks


def _require_version(connection: Connection, service: str, wanted: str | None) -> None:
    """See that a step led where it should."""
    version = current_version(connection, service)
    if version != wanted:
        raise MigrationError(f"{service} stands at {version or BASE} after the step to {wanted or BASE}.")


def _reached(plan: Plan, service: str, at_least: str, url_variable: str | None, environ: Environ) -> str | None:
    """None when a database is at a revision or beyond, else why it does not count as there."""
    url = migration_url(service, environ, url_variable)
    try:
        with migration_engine(url).connect() as connection:
            if connection.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar_one() is None:
                return "nothing was applied yet"
            version = current_version(connection, service)
            applied = recorded(connection)
    except DBAPIError as error:
        return f"the database does not answer: {error.orig}".strip()
    try:
        reached = at_least in applied or at_least in _covered(plan, service, version)
    except MigrationError as error:
        return str(error).rstrip(".")
    return None if reached else f"it is at {version or BASE}"


@contextmanager
def _session(service: str, environ: Environ) -> Iterator[Connection]:
    """A session of a service's database owner, in autocommit, with the migration's time-outs; closed at the end."""
    engine = migration_engine(migration_url(service, environ))
    try:
        connection = engine.connect()
    except DBAPIError as error:
        raise MigrationError(f"The database of {service} does not answer: {error.orig}") from error
    with connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        apply_session_settings(connection, service)
        if connection.exec_driver_sql("SELECT current_schema()").scalar_one() is None:
            raise MigrationError(f"The schema that the URL of {service} names in its search path does not exist.")
        connection.commit()
        yield connection


def _covered(plan: Plan, service: str, version: str | None) -> frozenset[str]:
    """The revisions that a database at this version has; MigrationError when the checkout does not know the version."""
    if version is None:
        return frozenset()
    script = plan.script(service)
    # Looked for in the list: Alembic's own search would take the beginning of an id for the id.
    if version not in {revision.revision for revision in script.walk_revisions()}:
        raise MigrationError(f"{service} stands at {version}, which this checkout does not know.")
    return frozenset(revision.revision for revision in script.iterate_revisions(version, "base"))


def _script(plan: Plan, step: Step) -> Script:
    """A step's revision as Alembic has loaded it."""
    return plan.script(step.service).get_revision(step.revision)


def _end(plan: Plan, service: str) -> int:
    """The number of a service's last step."""
    return [step.number for step in plan.steps if step.service == service][-1]


def _on_wait(report: Callable[[Progress], None], step: Step) -> Callable[[str], None]:
    return lambda holder: report(Progress("waiting", step, {"holder": holder}))


def _since_ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def _sleep_ms(duration_ms: int) -> None:
    time.sleep(duration_ms / 1000)
