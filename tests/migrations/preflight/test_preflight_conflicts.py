"""Each planted conflict stops with its report and no write, is mended by its command, and goes through."""

from __future__ import annotations

import psycopg
import pytest
from apportion_dev.testing.databases import DatabaseFactory
from apportion_migrate import conductor
from apportion_migrate.errors import ConflictsError, LockBusyError
from apportion_migrate.locks import lock_key
from apportion_migrate.plan import load_plan
from apportion_migrate.preflight import (
    GROUPS_SHOWN_MAX,
    IDS_SHOWN_MAX,
    Check,
    Finding,
    PreflightError,
    pending_checks,
    preflight,
    run_checks,
)
from apportion_migrate.resolve import ResolveError, fixes, resolve
from legacy_worlds import CONFLICTS, Conflict, LegacyWorld, legacy_world, named

NEXT_TRANSACTION = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text"
"""The transaction id that the server would give next."""
QUIET_TRIES = 5
"""The server's own housekeeping takes an id now and then."""


def up(world: LegacyWorld) -> None:
    conductor.up(world.plan, report=lambda _event: None, environ=world.environ)


def stopped(world: LegacyWorld, service: str) -> tuple[Finding, ...]:
    """What `up` reports; proves that it stopped before the server gave any transaction an id."""
    for _ in range(QUIET_TRIES):
        first = world.rows(service, NEXT_TRANSACTION)
        with pytest.raises(ConflictsError) as caught:
            up(world)
        if world.rows(service, NEXT_TRANSACTION) == first:
            return tuple(finding for finding in caught.value.findings if isinstance(finding, Finding))
    pytest.fail("Something took a transaction id each time.")


@pytest.mark.parametrize("conflict", CONFLICTS, ids=lambda conflict: conflict.name.replace(" ", "-"))
def test_a_conflict_stops_with_its_report_and_no_write_is_mended_and_goes_through(
    conflict: Conflict, database_factory: DatabaseFactory
) -> None:
    service = conflict.service
    world = legacy_world(database_factory, (service,), (conflict,))
    before, versions = world.contents(service), world.versions()

    findings = {finding.check.name: finding for finding in stopped(world, service)}
    found = findings[conflict.check]
    assert (found.service, found.check.resolve) == (service, conflict.fix)
    assert {frozenset(group.ids) for group in found.conflicts} == set(conflict.groups)
    assert found.groups == len(conflict.groups)
    assert found.check.suggestion
    assert (world.contents(service), world.versions()) == (before, versions)

    assert conflict.fix is not None
    shown = resolve(world.plan, conflict.fix, actor="operator:test", apply=False, environ=world.environ)
    assert shown.changes
    assert not shown.applied
    assert world.contents(service) == before
    done = resolve(
        world.plan,
        conflict.fix,
        actor="operator:test",
        apply=True,
        expect=len(shown.changes),
        environ=world.environ,
    )
    assert sorted(change.resource for change in done.changes) == sorted(change.resource for change in shown.changes)
    assert done.left == ()
    mended = len(done.changes)
    # What was mended can show something else: a cut cycle leaves a closure that does not follow it.
    for left in preflight(world.plan, world.environ).findings:
        assert left.check.resolve is not None
        again = resolve(world.plan, left.check.resolve, actor="operator:test", apply=True, environ=world.environ)
        mended += len(again.changes)

    up(world)
    assert conductor.status(world.plan, world.environ).complete
    audit = "SELECT count(*) FROM audit_entry WHERE actor = 'operator:test' AND action LIKE 'migration.resolve.%'"
    assert world.rows(service, audit) == [(mended,)]
    assert world.rows(service, "SELECT to_regclass('migration_audit')") == [(None,)]
    world.drop(database_factory)


def test_all_checks_of_all_services_are_asked_before_anything_changes(database_factory: DatabaseFactory) -> None:
    # The last service of the plan is in conflict: the first must not have moved.
    world = legacy_world(database_factory, conflicts=[found for found in CONFLICTS if found.service == "orgs"])
    with pytest.raises(ConflictsError) as caught:
        up(world)
    assert {finding.check.name for finding in caught.value.findings if isinstance(finding, Finding)} >= {
        found.check for found in CONFLICTS if found.service == "orgs"
    }
    assert world.versions() == {service: f"{service}_baseline" for service in world.databases}
    world.drop(database_factory)


@pytest.fixture
def identity(database_factory: DatabaseFactory) -> LegacyWorld:
    return legacy_world(database_factory, ("identity",), CONFLICTS[:1])


@pytest.fixture
def ledger_session(database_factory: DatabaseFactory) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(database_factory.blank("ledger").owner_url, autocommit=True)


def a_check(sql: str, *tables: str) -> Check:
    return Check(name="planted", asks="Is it so?", sql=sql, suggestion="Mend it.", resolve=None, tables=tables)


def test_what_the_operator_wants_to_keep_is_kept(identity: LegacyWorld) -> None:
    wanted = named("third")
    done = resolve(identity.plan, "duplicate-domains", actor="a", apply=True, keep=[wanted], environ=identity.environ)
    assert {change.resource for change in done.changes} == {
        f"domain_claim/{named(name)}" for name in ("claim4", "second", "fourth")
    }


def test_a_fix_that_would_change_more_than_was_seen_is_refused(identity: LegacyWorld) -> None:
    before = identity.contents("identity")
    with pytest.raises(ResolveError, match="3 rows now, not 2"):
        resolve(identity.plan, "duplicate-domains", actor="a", apply=True, expect=2, environ=identity.environ)
    assert identity.contents("identity") == before
    assert identity.rows("identity", "SELECT to_regclass('migration_audit')") == [(None,)]


def test_no_fix_runs_beside_a_migration(identity: LegacyWorld) -> None:
    with identity.session("identity") as other:
        other.execute("SELECT pg_advisory_lock(%s)", (lock_key("identity"),))
        with pytest.raises(LockBusyError):
            resolve(identity.plan, "duplicate-domains", actor="a", apply=True, environ=identity.environ)


def test_a_fix_is_refused_where_the_constraint_stands_already(database_factory: DatabaseFactory) -> None:
    world = legacy_world(database_factory, ("identity",))
    up(world)
    with pytest.raises(ResolveError, match="has the constraints already"):
        resolve(world.plan, "duplicate-domains", actor="a", apply=True, environ=world.environ)
    world.drop(database_factory)


def test_an_unknown_fix_is_answered_with_those_there_are(identity: LegacyWorld) -> None:
    with pytest.raises(ResolveError, match="duplicate-domains"):
        resolve(identity.plan, "all", actor="a", apply=False, environ=identity.environ)


def test_an_audit_entry_of_a_fix_tells_the_row_without_what_is_personal(database_factory: DatabaseFactory) -> None:
    (conflict,) = (found for found in CONFLICTS if found.check == "duplicate_invitations")
    world = legacy_world(database_factory, ("identity",), (conflict,))
    resolve(world.plan, "duplicate-invitations", actor="operator:ann", apply=True, environ=world.environ)
    ((actor, action, resource, before, after),) = world.rows(
        "identity", "SELECT actor, action, resource, before, after FROM migration_audit"
    )
    assert (actor, action) == ("operator:ann", "migration.resolve.duplicate-invitations")
    assert resource == f"invitation/{named('invitation3')}"
    assert "example.org" not in str((before, after)).lower()
    assert before["revoked_at"] is None
    assert after["revoked_at"] is not None
    world.drop(database_factory)


def test_every_check_that_names_a_command_names_one_that_is_there(identity: LegacyWorld) -> None:
    plan = load_plan()
    known = fixes(plan)
    named_by = {
        (service, check.resolve, check.name)
        for service in plan.services
        for check in pending_checks(plan, service, None)
        if check.resolve is not None
    }
    assert {(service, fix.name, check) for service, fix in known.values() for check in fix.checks} == named_by
    assert {conflict.fix for conflict in CONFLICTS} == set(known)


def test_a_check_that_writes_is_refused_by_the_server(
    ledger_session: psycopg.Connection[tuple[object, ...]],
) -> None:
    ledger_session.execute("CREATE TABLE kept (id int)")
    ledger_session.execute(
        "CREATE FUNCTION sneak() RETURNS text LANGUAGE sql VOLATILE AS $$ INSERT INTO kept VALUES (1) RETURNING 'x' $$"
    )
    with pytest.raises(PreflightError, match="read-only transaction"):
        run_checks(ledger_session, [a_check("SELECT sneak() AS key, ARRAY['a'] AS ids, 1::bigint AS rows")])
    assert ledger_session.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_check_that_takes_a_transaction_id_is_found_out(
    ledger_session: psycopg.Connection[tuple[object, ...]],
) -> None:
    sneaky = a_check("SELECT pg_current_xact_id()::text AS key, ARRAY['a'] AS ids, 1::bigint AS rows")
    with pytest.raises(PreflightError, match="was given transaction id"):
        run_checks(ledger_session, [sneaky])


def test_a_check_is_not_asked_where_its_table_is_not_there(
    ledger_session: psycopg.Connection[tuple[object, ...]],
) -> None:
    assert run_checks(ledger_session, [a_check("SELECT * FROM gone", "gone")]) == []


def test_a_finding_names_the_largest_groups_and_counts_them_all(
    ledger_session: psycopg.Connection[tuple[object, ...]],
) -> None:
    many = GROUPS_SHOWN_MAX + 7
    query = f"""
        SELECT 'group ' || n AS key, array_agg(m::text ORDER BY m) AS ids, count(*) AS rows
        FROM generate_series(1, {many}) AS n, generate_series(1, n) AS m GROUP BY n
    """
    (found,) = run_checks(ledger_session, [a_check(query)])
    assert (found.groups, len(found.conflicts)) == (many, GROUPS_SHOWN_MAX)
    largest = found.conflicts[0]
    assert (largest.key, largest.rows, len(largest.ids)) == (f"group {many}", many, IDS_SHOWN_MAX)


def test_checks_are_not_run_inside_somebody_elses_transaction(
    ledger_session: psycopg.Connection[tuple[object, ...]],
) -> None:
    with ledger_session.transaction(), pytest.raises(PreflightError, match="without an open transaction"):
        run_checks(ledger_session, [])
