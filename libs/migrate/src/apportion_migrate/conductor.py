"""Carries the plan out: one step at a time, under a lock of the session that runs the DDL, each step once.

Up: every pre-flight check of what is to come, in every database; then the steps in the plan's order; then a look at
what came of it. Down: the same steps in reverse order. Each step locks its own database, then reads again where that
database and its neighbour in the plan stand: another run may have been at work meanwhile.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Final, Literal

from alembic import command

from apportion_migrate.adoption import standing_tables
from apportion_migrate.checksums import recorded
from apportion_migrate.databases import (
    Environ,
    changed_since_applied,
    current_version,
    owner_session,
    require_unchanged,
    revisions_at,
    why_not_reached,
)
from apportion_migrate.errors import NotReachedError, PlanMovedError, VerificationError
from apportion_migrate.locks import LOCK_WAIT_S, service_lock
from apportion_migrate.losses import require_losses_named
from apportion_migrate.plan import BASE, Plan, PlanError, Step
from apportion_migrate.preflight import Finding
from apportion_migrate.sessions import require_urls
from apportion_migrate.steps import (
    OnProgress,
    Progress,
    apply_step,
    checks_of,
    findings_of,
    require_none,
    undo_step,
)
from apportion_migrate.verification import unsound

WAIT_POLL_MS: Final = 500
WAIT_POLL_JITTER_MS: Final = 250
"""Between two looks of a service that waits for its revision; the jitter keeps many pods apart."""
WAIT_S: Final = 300
"""Longest wait of a service for its revision."""


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
    report: OnProgress,
    to: str | None = None,
    lock_wait_s: int = LOCK_WAIT_S,
    environ: Environ = None,
) -> None:
    """Bring every service to the plan's end, or as far as the step `to`; what is done already is left alone.

    `report` hears of all that happens. The URLs come from <SERVICE>_MIGRATION_DATABASE_URL in `environ` (the process's
    own when None). Before anything is changed: PlanError, MigrationSettingError, ChecksumError, and ConflictsError for
    rows that are blocking. Then LockBusyError when another run keeps a lock for `lock_wait_s`, PoolerError,
    MigrationError for a step that failed, and VerificationError at the end.
    """
    plan.check()
    steps = plan.steps_to(to)
    require_urls(plan.services, environ)
    for service in plan.services:
        with owner_session(service, environ) as connection:
            require_unchanged(plan, service, current_version(connection, service), recorded(connection))
    _preflight(plan, steps, report, environ)
    for step in steps:
        with (
            owner_session(step.service, environ) as connection,
            service_lock(connection, step.service, wait_s=lock_wait_s, on_wait=_on_wait(report, step)),
        ):
            _require_neighbour(plan, step, -1, environ)
            apply_step(plan, step, connection, report)
    _verify(plan, steps, environ)


def down(
    plan: Plan,
    *,
    to: str,
    report: OnProgress,
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
    undone = plan.steps_beyond(to)
    require_losses_named(plan, undone, destroy, environ)
    for step in reversed(undone):
        with (
            owner_session(step.service, environ) as connection,
            service_lock(connection, step.service, wait_s=lock_wait_s, on_wait=_on_wait(report, step)),
        ):
            _require_neighbour(plan, step, +1, environ)
            undo_step(plan, step, connection, report)


def status(plan: Plan, environ: Environ = None) -> Status:
    """Return where every service stands; changes nothing. Raises as `up` does, but never waits for a lock."""
    plan.check()
    require_urls(plan.services, environ)
    versions: dict[str, str | None] = {}
    states: dict[Step, StepState] = {}
    amiss: list[str] = []
    for service in plan.services:
        steps = plan.steps_of(service)
        with owner_session(service, environ) as connection:
            version = current_version(connection, service)
            applied = recorded(connection)
            covered = revisions_at(plan, service, version)
            stands = version is None and bool(standing_tables(connection, plan.revision_of(steps[0]), service))
            amiss += [f"{service}: {line}" for line in unsound(connection, at_head=steps[-1].revision in covered)]
        versions[service] = version
        amiss += [f"{service}: {line}" for line in changed_since_applied(plan, service, covered, applied)]
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
        found = why_not_reached(plan, service, at_least, url_variable, environ)
        if found is None:
            return
        if found != told and on_wait is not None:
            on_wait(found)
        told = found
        if time.monotonic() >= deadline:
            raise NotReachedError(f"{service} is not at {at_least} after {wait_s} s: {found}.")
        time.sleep((WAIT_POLL_MS + random.randrange(WAIT_POLL_JITTER_MS)) / 1000)


def sql(plan: Plan, to: str | None = None) -> Iterator[tuple[Step, str]]:
    """Yield the SQL of each step from an empty database on, in the plan's order; needs no database."""
    plan.check()
    for step in plan.steps_to(to):
        buffer = StringIO()
        config = plan.alembic_config(step.service)
        config.output_buffer = buffer
        before = plan.revision_of(step).down_revision
        command.upgrade(config, step.revision if before is None else f"{before}:{step.revision}", sql=True)
        yield step, buffer.getvalue()


def _preflight(plan: Plan, steps: Sequence[Step], report: OnProgress, environ: Environ) -> None:
    """Ask the checks of all steps that are still to come, in every database, before anything is changed."""
    findings: list[Finding] = []
    for service in plan.services:
        with owner_session(service, environ) as connection:
            covered = revisions_at(plan, service, current_version(connection, service))
            pending = [step for step in steps if step.service == service and step.revision not in covered]
            for step in pending:
                checks = checks_of(plan, step)
                found = findings_of(step, connection, checks)
                findings += found
                if checks:
                    report(Progress("checked", step, {"checks": len(checks), "conflicts": len(found)}))
    require_none(findings)


def _verify(plan: Plan, steps: Sequence[Step], environ: Environ) -> None:
    """See that every service is where its last step leads, with nothing half-built; raises VerificationError."""
    found: list[str] = []
    for service in dict.fromkeys(step.service for step in steps):
        last = [step for step in steps if step.service == service][-1]
        with owner_session(service, environ) as connection:
            version = current_version(connection, service)
            if last.revision not in revisions_at(plan, service, version):
                raise PlanMovedError(f"{service} is back at {version or BASE}: another run undoes the plan meanwhile.")
            found += [f"{service}: {line}" for line in unsound(connection, at_head=last == plan.steps_of(service)[-1])]
    if found:
        raise VerificationError(f"Every step is done, but {'; '.join(found)}.")


def _require_neighbour(plan: Plan, step: Step, offset: Literal[-1, 1], environ: Environ) -> None:
    """See that the step before this one is done (or, on the way down, the one after it undone) at this moment."""
    index = plan.steps.index(step) + offset
    if not 0 <= index < len(plan.steps):
        return
    neighbour = plan.steps[index]
    with owner_session(neighbour.service, environ) as connection:
        version = current_version(connection, neighbour.service)
    done = neighbour.revision in revisions_at(plan, neighbour.service, version)
    if done != (offset == -1):
        raise PlanMovedError(
            f"{step.service} cannot go on with {step.revision}: {neighbour.service} is at {version or BASE} now, "
            "another run moves the plan the other way."
        )


def _on_wait(report: OnProgress, step: Step) -> Callable[[str], None]:
    return lambda holder: report(Progress("waiting", step, {"holder": holder}))
