"""Organisations of before become trees with accounts, and plans of before get what new ones have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from apportion_common.clock import SystemClock
from apportion_common.db.unit_of_work import Database
from apportion_dev.testing.databases import DatabaseFactory
from apportion_migrate import data
from apportion_migrate.data import Throttle
from apportion_orgs.store.hierarchy import HierarchyStore
from data_worlds import Legacy, legacy_world

AT_ONCE = Throttle(pause_ms=0)
ORGS = 30
EPOCH = "1970-01-01"


def ident(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012x}"


def account(number: int) -> str:
    return ident(0xA000 + number)


def parent_of(number: int) -> int | None:
    """Roots are 1 to 10; each further one is below the one ten less: three levels."""
    return None if number <= 10 else number - 10


def fill_orgs(session: psycopg.Connection[Any]) -> None:
    """Root 1 owns two accounts and is on the second; root 2 owns one; root 3 is on root 1's; the others have none."""
    for number in range(1, ORGS + 1):
        above = parent_of(number)
        session.execute(
            "INSERT INTO organization (org_id, legal_name, org_slug, parent_org_id) VALUES (%s, %s, %s, %s)",
            (ident(number), f"Org {number}", f"org-{number}", None if above is None else ident(above)),
        )
    for number, owner, currency in ((1, 1, "EUR"), (2, 1, "EUR"), (3, 2, "NZD")):
        session.execute(
            "INSERT INTO billing_account (billing_account_id, owner_org_id, name, currency) VALUES (%s, %s, 'Old', %s)",
            (account(number), ident(owner), currency),
        )
    for number, org, on in ((1, 1, 2), (2, 3, 1), (3, 11, 1)):
        session.execute(
            "INSERT INTO org_billing_mapping (mapping_id, org_id, billing_account_id, allocation, effective_at)"
            " VALUES (%s, %s, %s, 'absorb', '2020-01-01T00:00:00Z')",
            (ident(0xB000 + number), ident(org), account(on)),
        )
    # A closure that somebody began by hand.
    session.execute("INSERT INTO org_hierarchy VALUES (%s, %s, 0)", (ident(5), ident(5)))


@pytest.fixture
def orgs(database_factory: DatabaseFactory) -> Iterator[Legacy]:
    legacy = legacy_world(database_factory, "orgs", "org_roots", fill_orgs)
    legacy.migration.chunk_rows = 7
    yield legacy
    legacy.engine.dispose()
    database_factory.drop(legacy.database.name)


async def test_every_organisation_of_before_gets_its_closure_and_every_root_its_default_account(orgs: Legacy) -> None:
    end = data.run(orgs.engine, orgs.migration, throttle=AT_ONCE)
    assert (end.kind, end.standing.rows_done, end.standing.rows_total, end.details["left"]) == ("done", 30, 30, 0)

    database = Database(orgs.database.engine, "orgs", SystemClock())
    async with database.read() as connection:
        assert await HierarchyStore().differences(connection, 10) == [], "The closure is what the pointers imply."
    await orgs.database.close()
    assert orgs.ask("SELECT count(*) FROM org_hierarchy") == 10 + 10 * 2 + 10 * 3

    defaults = (
        "SELECT owner_org_id::text, billing_account_id::text, name, currency FROM billing_account WHERE is_default"
    )
    found = {row[0]: row[1:] for row in orgs.rows(defaults)}
    assert set(found) == {ident(number) for number in range(1, 11)}, "Roots, and no others."
    assert found[ident(1)] == (account(2), "Old", "EUR"), "The one that it is mapped to."
    assert found[ident(2)] == (account(3), "Old", "NZD")
    assert found[ident(3)][1:] == ("Org 3", "EUR"), "In the currency of the account that it is on."
    assert found[ident(4)][1:] == ("Org 4", "AUD")
    assert orgs.ask("SELECT count(*) FROM billing_account") == 3 + 8

    mappings = "SELECT org_id::text, billing_account_id::text, effective_at::date::text FROM org_billing_mapping"
    on = {row[0]: row[1:] for row in orgs.rows(mappings)}
    assert len(on) == orgs.ask("SELECT count(*) FROM org_billing_mapping") == 3 + 8
    assert on[ident(1)] == (account(2), "2020-01-01"), "What was there stays."
    assert on[ident(3)] == (account(1), "2020-01-01")
    assert on[ident(2)] == (account(3), EPOCH)
    assert on[ident(4)] == (found[ident(4)][0], EPOCH)
    assert ident(12) not in on, "A child has none until somebody maps it."


def test_what_becomes_known_carries_revisions_and_audit_entries(orgs: Legacy) -> None:
    data.run(orgs.engine, orgs.migration, throttle=AT_ONCE)
    # Roots 1 to 7 are in the first chunk of seven, 8 to 10 in the second; the rest changes no configuration.
    assert orgs.ask("SELECT revision FROM config_head") == 2
    revisions = "SELECT revision, count(*) FROM billing_account WHERE revision > 0 GROUP BY revision ORDER BY revision"
    assert orgs.rows(revisions) == [(1, 5), (2, 3)]
    actions = "SELECT action, count(*) FROM audit_entry WHERE actor = 'migration:org_roots' GROUP BY action"
    assert dict(orgs.rows(actions)) == {
        "billing_account.create": 8,
        "billing_account.make_default": 2,
        "billing_mapping.create": 8,
    }


def test_a_second_run_from_the_beginning_changes_nothing(orgs: Legacy) -> None:
    data.run(orgs.engine, orgs.migration, throttle=AT_ONCE)
    tables = ("organization", "org_hierarchy", "billing_account", "org_billing_mapping", "audit_entry", "config_head")
    before = {table: sorted(map(str, orgs.rows(f"SELECT t.*, t.xmin FROM {table} AS t"))) for table in tables}
    with orgs.session() as session:
        session.execute("DELETE FROM data_migration")
    end = data.run(orgs.engine, orgs.migration, throttle=AT_ONCE)
    assert (end.kind, end.standing.rows_done, end.standing.rows_total) == ("done", 0, 0)
    assert {table: sorted(map(str, orgs.rows(f"SELECT t.*, t.xmin FROM {table} AS t"))) for table in tables} == before


def test_two_copies_of_a_database_get_the_same_ids(orgs: Legacy, database_factory: DatabaseFactory) -> None:
    other = legacy_world(database_factory, "orgs", "org_roots", fill_orgs)
    ids = "SELECT billing_account_id::text FROM billing_account UNION SELECT mapping_id::text FROM org_billing_mapping"
    for legacy in (orgs, other):
        data.run(legacy.engine, legacy.migration, throttle=AT_ONCE)
    assert sorted(orgs.rows(ids)) == sorted(other.rows(ids))
    other.engine.dispose()
    database_factory.drop(other.database.name)


def test_parents_that_form_a_cycle_stop_the_run_and_leave_the_chunks_before(orgs: Legacy) -> None:
    with orgs.session() as session:
        session.execute("UPDATE organization SET parent_org_id = %s WHERE org_id = %s", (ident(20), ident(10)))
    with pytest.raises(data.DataMigrationError, match="ck_org_hierarchy_self"):
        data.run(orgs.engine, orgs.migration, throttle=AT_ONCE)
    assert orgs.rows("SELECT state, rows_done FROM data_migration") == [("running", 7)]
    with orgs.session() as session:
        session.execute("UPDATE organization SET parent_org_id = NULL WHERE org_id = %s", (ident(10),))
    assert data.run(orgs.engine, orgs.migration, throttle=AT_ONCE).details["left"] == 0


def test_plans_of_before_get_a_tier_and_notes_where_they_had_none(database_factory: DatabaseFactory) -> None:
    # The lowest id there is counts like any other.
    plans = {0: (None, None), 1: ("gold", "kept"), 2: (None, "kept"), 3: ("gold", None), 4: (None, None)}

    def fill(session: psycopg.Connection[Any]) -> None:
        for number, (tier, notes) in plans.items():
            session.execute(
                "INSERT INTO plan (plan_id, name, tier, currency, notes) VALUES (%s, %s, %s, 'AUD', %s)",
                (ident(number), f"Plan {number}", tier, notes),
            )

    legacy = legacy_world(database_factory, "pricing", "plan_defaults", fill)
    legacy.migration.chunk_rows = 2
    end = data.run(legacy.engine, legacy.migration, throttle=AT_ONCE)
    assert (end.kind, end.standing.rows_done, end.details["left"]) == ("done", 4, 0)
    found = {row[0]: row[1:] for row in legacy.rows("SELECT right(plan_id::text, 1)::int, tier, notes FROM plan")}
    assert found.pop(0) == ("standard", "")
    assert found == {1: ("gold", "kept"), 2: ("standard", "kept"), 3: ("gold", ""), 4: ("standard", "")}
    audited = legacy.rows("SELECT before, after FROM audit_entry WHERE resource = %s", f"plan/{ident(2)}")
    assert audited == [({"tier": None, "notes": "kept"}, {"tier": "standard", "notes": "kept"})]
    legacy.engine.dispose()
    database_factory.drop(legacy.database.name)
