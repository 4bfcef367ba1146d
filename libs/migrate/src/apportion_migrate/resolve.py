"""Mends the common conflicts that pre-flight finds: shown first, then applied in one transaction, each row audited.

A fix is a SELECT that proposes changes; the same statement serves the dry run, in a read-only transaction, and the real
one, under a lock that keeps writers off the table until it commits. Where audit_entry does not stand yet, the rows'
entries wait in migration_audit until the plan's revision hands them over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import psycopg
from apportion_common.db.audit_json import audit_json
from apportion_common.ids import uuid7
from psycopg import sql
from sqlalchemy import Connection

from apportion_migrate.audit import AUDIT_TABLE, CREATE_MIGRATION_AUDIT, MIGRATION_AUDIT_TABLE
from apportion_migrate.databases import current_version
from apportion_migrate.errors import LockBusyError, MigrationError
from apportion_migrate.locks import lock_key
from apportion_migrate.plan import Plan, package_folder
from apportion_migrate.preflight import Check, Finding, module_beside, pending_checks, run_checks
from apportion_migrate.sessions import apply_session_settings, migration_engine, migration_url

KEEP_SETTING: Final = "apportion.keep"
KEPT: Final = f"= ANY (string_to_array(coalesce(current_setting('{KEEP_SETTING}', true), ''), ','))"
"""Whether an id is among those that the operator wants to keep, as the end of a condition: `claim_id::text {KEPT}`."""
CHANGES_MAX: Final = 100_000
"""Rows that one call mends; it is one transaction, and writers wait for it."""
FIX_TIMEOUT_MS: Final = 120_000
"""Longest time of one statement of a fix."""


class ResolveError(MigrationError):
    """A fix is unknown, or was refused; nothing was changed."""


@dataclass(frozen=True, kw_only=True)
class Fix:
    """A way out of conflicts: `sql` proposes changes to `table`, as rows of (place tid, id text, changes jsonb).

    A place with changes is updated, a place without is deleted, and changes without a place are a new row. `checks` are
    those whose conflicts it mends, `says` what it does, in one sentence.
    """

    name: str
    checks: tuple[str, ...]
    table: str
    says: str
    sql: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Change:
    """What happens, or would happen, to one row: None before a new row, None after a deleted one."""

    resource: str
    before: Mapping[str, object] | None
    after: Mapping[str, object] | None

    def as_json(self) -> dict[str, object]:
        """Return the change as a JSON object, without what must not be written down."""
        return {
            "resource": self.resource,
            "before": None if self.before is None else audit_json(self.before),
            "after": None if self.after is None else audit_json(self.after),
        }


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What a fix did, or would do, and what its checks still find afterwards."""

    service: str
    fix: Fix
    applied: bool
    changes: tuple[Change, ...]
    left: tuple[Finding, ...]


def fixes(plan: Plan) -> dict[str, tuple[str, Fix]]:
    """Return every fix by its name, with its service; ResolveError when two have one name."""
    found: dict[str, tuple[str, Fix]] = {}
    for service in plan.services:
        for fix in getattr(module_beside(package_folder(service) / "migrations"), "FIXES", ()):
            if fix.name in found:
                raise ResolveError(f"Two fixes are called {fix.name}.")
            found[fix.name] = (service, fix)
    return found


def resolve(
    plan: Plan,
    name: str,
    *,
    actor: str,
    apply: bool,
    keep: Sequence[str] = (),
    expect: int | None = None,
    environ: Mapping[str, str] | None = None,
) -> Resolution:
    """Show what a fix would do, or with `apply` do it, and ask its checks again.

    `keep` names ids that stay where the fix would choose others; `expect` is how many changes the operator has seen,
    and other than so many are refused. Raises ResolveError when the fix is unknown, an id to keep is none that it would
    change, or the rows are already constrained, LockBusyError while a migration of the service runs, and what the
    migration's settings raise.
    """
    known = fixes(plan)
    if name not in known:
        raise ResolveError(f"There is no fix {name}; there are {', '.join(sorted(known))}.")
    service, fix = known[name]
    with migration_engine(migration_url(service, environ)).connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        apply_session_settings(connection, service)
        checks = _checks(plan, service, connection, fix)
        driver = _driver(connection)
        changes = _apply(driver, service, fix, actor, keep, expect) if apply else _propose(driver, fix, keep)
        left = tuple(run_checks(connection, checks))
    return Resolution(service=service, fix=fix, applied=apply, changes=changes, left=left)


def _checks(plan: Plan, service: str, connection: Connection, fix: Fix) -> tuple[Check, ...]:
    """Return the fix's checks, of revisions still to come; ResolveError where they are done: then nothing is in the
    way.
    """
    pending = {check.name: check for check in pending_checks(plan, service, current_version(connection, service))}
    missing = [name for name in fix.checks if name not in pending]
    if missing:
        raise ResolveError(f"{fix.name} mends nothing here: {service} has the constraints already.")
    return tuple(pending[name] for name in fix.checks)


def _propose(driver: psycopg.Connection[Any], fix: Fix, keep: Sequence[str]) -> tuple[Change, ...]:
    """Return what the fix would change, asked in a transaction that cannot write."""
    with driver.transaction(force_rollback=True):
        driver.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return tuple(change for _place, _changes, change in _proposals(driver, fix, keep))


def _apply(
    driver: psycopg.Connection[Any], service: str, fix: Fix, actor: str, keep: Sequence[str], expect: int | None
) -> tuple[Change, ...]:
    """Change what the fix proposes, each row with its audit entry, all or nothing."""
    with driver.transaction():
        row = driver.execute("SELECT pg_try_advisory_xact_lock(%s)", (lock_key(service),)).fetchone()
        if row is None or not row[0]:
            raise LockBusyError(f"A migration of {service} is running.")
        # Writers of the table wait until the end, so that no place moves under the proposals.
        driver.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(sql.Identifier(fix.table)))
        proposals = list(_proposals(driver, fix, keep))
        if expect is not None and len(proposals) != expect:
            raise ResolveError(f"{fix.name} would change {len(proposals)} rows now, not {expect}: look again.")
        audit = _audit_table(driver)
        for place, changes, change in proposals:
            _change(driver, fix.table, place, changes)
            _audit(driver, audit, actor, fix, change)
    return tuple(change for _place, _changes, change in proposals)


def _require_known(fix: Fix, keep: Sequence[str], ids: Sequence[str]) -> None:
    """See that every id that is to be kept is one that the fix, left alone, would change; none when nothing would.

    A mistyped id would otherwise keep nothing and say nothing.
    """
    if keep and KEEP_SETTING not in fix.sql:
        raise ResolveError(f"{fix.name} has nothing to choose, so nothing to keep.")
    strangers = sorted(set(keep) - set(ids))
    if ids and strangers:
        raise ResolveError(f"{', '.join(strangers)} need not be kept: {fix.name} would not change it anyhow.")


def _proposals(
    driver: psycopg.Connection[Any], fix: Fix, keep: Sequence[str]
) -> Iterator[tuple[str | None, str | None, Change]]:
    """Yield place, changes as JSON text, and the change they come to, of everything that the fix proposes."""
    driver.execute("SELECT set_config('statement_timeout', %s, true)", (str(FIX_TIMEOUT_MS),))
    for table in (fix.table, *fix.needs):
        row = driver.execute("SELECT to_regclass(%s)::text", (table,)).fetchone()
        if row is None or row[0] is None:
            return
    if keep:
        driver.execute("SELECT set_config(%s, '', true)", (KEEP_SETTING,))
        chosen = driver.execute(f"SELECT p.id FROM ({fix.sql}) AS p (place, id, changes)".encode()).fetchall()  # noqa: S608
        _require_known(fix, keep, [name for (name,) in chosen])
    driver.execute("SELECT set_config(%s, %s, true)", (KEEP_SETTING, ",".join(keep)))
    query = f"""
        SELECT p.place::text, p.id, p.changes::text, to_jsonb(t)::text, (to_jsonb(t) || p.changes)::text
        FROM ({fix.sql}) AS p (place, id, changes) LEFT JOIN {fix.table} AS t ON t.ctid = p.place
        ORDER BY p.id LIMIT {CHANGES_MAX + 1}
    """  # noqa: S608 (a fix's SQL is part of the code)
    rows = driver.execute(query.encode()).fetchall()
    if len(rows) > CHANGES_MAX:
        raise ResolveError(f"{fix.name} would change more than {CHANGES_MAX} rows: mend them in parts, by hand.")
    for place, name, changes, before, after in rows:
        later = None if changes is None else changes if place is None else after
        change = Change(resource=f"{fix.table}/{name}", before=_object(before), after=_object(later))
        yield place, changes, change


def _change(driver: psycopg.Connection[Any], table: str, place: str | None, changes: str | None) -> None:
    """Carry one proposal out."""
    name = sql.Identifier(table)
    if changes is None:
        driver.execute(sql.SQL("DELETE FROM {} WHERE ctid = %s::tid").format(name), (place,))
        return
    columns = sql.SQL(", ").join(sql.Identifier(column) for column in json.loads(changes))
    record = sql.SQL("SELECT {} FROM jsonb_populate_record(NULL::{}, %s::jsonb)").format(columns, name)
    if place is None:
        driver.execute(sql.SQL("INSERT INTO {} ({}) {}").format(name, columns, record), (changes,))
        return
    driver.execute(
        sql.SQL("UPDATE {} SET ({}) = ({}) WHERE ctid = %s::tid").format(name, columns, record),
        (changes, place),
    )


def _audit(driver: psycopg.Connection[Any], table: str, actor: str, fix: Fix, change: Change) -> None:
    """Write the audit entry of one change."""
    said = change.as_json()
    driver.execute(
        sql.SQL(
            "INSERT INTO {} (audit_id, actor, action, resource, before, after) VALUES (%s, %s, %s, %s, %s, %s)"
        ).format(sql.Identifier(table)),
        (
            uuid7(),
            actor,
            f"migration.resolve.{fix.name}",
            change.resource,
            *map(_text, (said["before"], said["after"])),
        ),
    )


def _audit_table(driver: psycopg.Connection[Any]) -> str:
    """Return where this database's audit entries go; migration_audit is made when it is the one."""
    row = driver.execute("SELECT to_regclass(%s)::text", (AUDIT_TABLE,)).fetchone()
    if row is not None and row[0] is not None:
        return AUDIT_TABLE
    driver.execute(CREATE_MIGRATION_AUDIT.encode())
    return MIGRATION_AUDIT_TABLE


def _object(text: str | None) -> dict[str, object] | None:
    return None if text is None else json.loads(text, parse_float=Decimal)


def _text(value: object) -> str | None:
    return None if value is None else json.dumps(value)


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise ResolveError("A fix needs a connection of psycopg.")
    return driver
