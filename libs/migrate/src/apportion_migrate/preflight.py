"""Pre-flight: which rows are in a revision's way, asked of every service before anything changes anywhere.

A revision declares its checks beside its DDL. Each is one SELECT over the tables that stood before; what it finds is
named with keys and ids, and with a suggestion. The checks of a service run in one read-only transaction that is always
rolled back, and that proves afterwards that it wrote nothing: the server gave it no transaction id.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import psycopg
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from apportion_migrate.plan import Plan
from apportion_migrate.sessions import (
    apply_session_settings,
    migration_engine,
    migration_url,
    require_urls,
)

GROUPS_SHOWN_MAX: Final = 100
"""Conflicting groups that a finding names; it counts the rest."""
IDS_SHOWN_MAX: Final = 20
"""Ids that a group names; it counts the rest."""
CHECK_TIMEOUT_MS: Final = 120_000
"""Longest time of one check: it reads whole tables, and holds nobody up."""

Session = Connection | psycopg.Connection[Any]
"""A connection outside of any transaction, in autocommit or not."""


class PreflightError(RuntimeError):
    """A check could not be run, or could not be proved to have changed nothing."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """A question to the rows that stood before, in one SELECT.

    `asks` says in one sentence what would block a revision. `sql` returns a row for each conflicting group: `key` text,
    `ids` text[], `rows` bigint; the runner bounds how much of it is shown. It reads `tables`, and is not asked where
    one of them is not there. `guards` names the constraints and unique indexes that the rows would break.
    `resolve` names the command that mends it, where there is one.
    """

    name: str
    asks: str
    sql: str
    suggestion: str
    resolve: str | None
    tables: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """One group of blocking rows: what they share, the ids of some of them, and how many they are."""

    key: str
    ids: tuple[str, ...]
    rows: int


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A check that found something; `groups` counts all groups, `conflicts` has the largest of them."""

    check: Check
    conflicts: tuple[Conflict, ...]
    groups: int
    service: str = ""

    def as_json(self) -> dict[str, object]:
        """Return the finding as a JSON object."""
        return {
            "service": self.service,
            "check": self.check.name,
            "asks": self.check.asks,
            "groups": self.groups,
            "conflicts": [
                {"key": conflict.key, "rows": conflict.rows, "ids": list(conflict.ids)} for conflict in self.conflicts
            ],
            "suggestion": self.check.suggestion,
            "resolve": self.check.resolve,
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """What pre-flight found over all services, and what it asked: (service, check) pairs."""

    findings: tuple[Finding, ...]
    asked: tuple[tuple[str, str], ...]
    took_ms: int

    @property
    def clear(self) -> bool:
        """Whether nothing is blocking."""
        return not self.findings


def run_checks(connection: Session, checks: Iterable[Check]) -> list[Finding]:
    """Ask all checks in one read-only transaction of one snapshot; return those that found something, in their order.

    Raises PreflightError when a check cannot be run, when the connection has a transaction open, or when the server
    has given ours a transaction id: then something was written after all.
    """
    driver = _driver(connection)
    if driver.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE:
        raise PreflightError("Pre-flight needs a connection without an open transaction.")
    findings: list[Finding] = []
    with driver.transaction(force_rollback=True):
        driver.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        driver.execute("SELECT set_config('statement_timeout', %s, true)", (str(CHECK_TIMEOUT_MS),))
        for check in checks:
            finding = _ask(driver, check)
            if finding is not None:
                findings.append(finding)
        assigned = _value(driver, "SELECT pg_current_xact_id_if_assigned()::text")
        if assigned is not None:
            raise PreflightError(f"Pre-flight was given transaction id {assigned}: it was not read-only.")
    return findings


def preflight(plan: Plan, environ: Mapping[str, str] | None = None) -> Report:
    """Ask every check of every revision that a service has still to take; changes nothing.

    The URLs come from <SERVICE>_MIGRATION_DATABASE_URL in `environ` (the process's own when None). Raises
    MigrationSettingError before anything is asked, and PreflightError.
    """
    require_urls(plan.services, environ)
    urls = {service: migration_url(service, environ) for service in plan.services}
    started = time.monotonic()
    findings: list[Finding] = []
    asked: list[tuple[str, str]] = []
    for service, url in urls.items():
        engine = migration_engine(url)
        with engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            apply_session_settings(connection, service)
            checks = pending_checks(plan, service, _version(connection))
            findings += [
                Finding(check=found.check, conflicts=found.conflicts, groups=found.groups, service=service)
                for found in run_checks(connection, checks)
            ]
            asked += [(service, check.name) for check in checks]
    return Report(findings=tuple(findings), asked=tuple(asked), took_ms=round((time.monotonic() - started) * 1000))


def pending_checks(plan: Plan, service: str, version: str | None) -> tuple[Check, ...]:
    """Return the checks of the revisions of a service beyond a version (None: nothing applied), oldest first, each
    once.
    """
    pending = list(plan.script(service).iterate_revisions("head", version or "base"))
    checks: dict[str, Check] = {}
    for script in reversed(pending):
        notes = getattr(script.module, "NOTES", None)
        for check in () if notes is None else notes.checks:
            checks.setdefault(check.name, check)
    return tuple(checks.values())


def checks_beside(revision_file: str) -> tuple[Check, ...]:
    """Return CHECKS of the preflight.py of the migrations that a revision's file belongs to:
    `checks_beside(__file__)`.
    """
    checks: tuple[Check, ...] = module_beside(Path(revision_file).resolve().parent.parent).CHECKS
    return checks


def module_beside(migrations: Path) -> ModuleType:
    """Return the module preflight.py in the folder of a service's migrations, loaded by its file; PreflightError
    without.
    """
    file = migrations / "preflight.py"
    spec = importlib.util.spec_from_file_location(f"preflight_of_{migrations.parent.name}", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise PreflightError(f"There is no {file}.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def invalid_rows(
    table: str,
    *,
    name: str,
    row_id: str,
    shown: str,
    valid: str,
    asks: str,
    suggestion: str,
    resolve: str | None = None,
    guards: tuple[str, ...] = (),
) -> Check:
    """Return the check for rows that fail a CHECK constraint: `valid` is its condition, which NULL passes.

    `row_id` is the expression that names a row, `shown` the one that its group is told by.
    """
    return Check(
        name=name,
        asks=asks,
        sql=f"""
            SELECT {shown} AS key, array_agg(({row_id})::text ORDER BY ({row_id})::text) AS ids, count(*) AS rows
            FROM {table} WHERE NOT ({valid}) GROUP BY 1
        """,  # noqa: S608 (the parts are constants of the services' preflight.py)
        suggestion=suggestion,
        resolve=resolve,
        tables=(table,),
        guards=guards,
    )


def _ask(driver: psycopg.Connection[Any], check: Check) -> Finding | None:
    """Run one check; None when nothing is blocking, or a table that it reads is not there."""
    if any(_value(driver, "SELECT to_regclass(%s)::text", table) is None for table in check.tables):
        return None
    # The group and id limits are applied here, once for all; `groups` counts before the limit cuts.
    bounded = f"""
        SELECT key, ids[1:{IDS_SHOWN_MAX}], rows, count(*) OVER () AS groups FROM ({check.sql}) AS found
        ORDER BY rows DESC, key LIMIT {GROUPS_SHOWN_MAX}
    """  # noqa: S608 (a check's SQL is part of the code)
    try:
        rows = driver.execute(bounded.encode()).fetchall()
    except psycopg.Error as error:
        raise PreflightError(f"The check {check.name} cannot be run: {error}") from error
    if not rows:
        return None
    conflicts = tuple(Conflict(key=str(row[0]), ids=tuple(row[1]), rows=int(row[2])) for row in rows)
    return Finding(check=check, conflicts=conflicts, groups=int(rows[0][3]))


def _value(driver: psycopg.Connection[Any], query: str, *parameters: str) -> object:
    row = driver.execute(query.encode(), parameters).fetchone()
    return None if row is None else row[0]


def _driver(connection: Session) -> psycopg.Connection[Any]:
    """Return the psycopg connection at hand."""
    if isinstance(connection, psycopg.Connection):
        return connection
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise PreflightError("Pre-flight needs a connection of psycopg.")
    return driver


def _version(connection: Connection) -> str | None:
    """Return the revision that the database stands at, None before the first."""
    return MigrationContext.configure(connection).get_current_revision()
