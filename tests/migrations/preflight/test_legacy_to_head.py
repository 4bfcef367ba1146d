"""A populated legacy environment goes to the plan's end and keeps every row; and every new constraint has its check."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from apportion_common.settings import SERVICES
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase
from apportion_migrate import conductor
from apportion_migrate.catalog import differences, read_catalog
from apportion_migrate.errors import IrreversibleError
from apportion_migrate.plan import load_plan
from apportion_migrate.preflight import pending_checks, preflight
from apportion_migrate.resolve import resolve
from apportion_migrate.sessions import migration_engine, psycopg_url
from legacy_worlds import CONFLICTS, TABLES, LegacyWorld, legacy_schemas, legacy_world

NEVER_BROKEN = {
    "identity": {"uq_domain_claim_token_hash", "ck_domain_claim_wildcard", "ck_domain_claim_token_hash",
                 "ck_domain_claim_token", "ck_domain_claim_proved"},
    "ledger": set(),
    "pricing": {"ck_plan_status", "fk_plan_model_id"},
    "metering": set(),
    "orgs": {"ix_billing_account_default"},
}  # fmt: skip
"""Constraints over nothing but columns that the revision itself makes with a constant: no row of before breaks them."""
DROPS_ROWS = ("20250920_02_por_commission_ledger", "20250920_04_metering_events")


def up(world: LegacyWorld) -> list[tuple[str, str]]:
    """Carry the plan out; gives what was reported of which revision."""
    told: list[tuple[str, str]] = []
    conductor.up(world.plan, report=lambda event: told.append((event.kind, event.step.revision)), environ=world.environ)
    return told


def down(world: LegacyWorld, *destroy: str) -> None:
    """Go back to where the plan found everything."""
    conductor.down(world.plan, to="orgs_baseline", destroy=destroy, report=lambda _event: None, environ=world.environ)


@pytest.fixture(scope="module")
def clean(database_factory: DatabaseFactory) -> Iterator[LegacyWorld]:
    world = legacy_world(database_factory)
    yield world
    world.drop(database_factory)


def test_a_clean_legacy_environment_goes_to_head_and_keeps_every_row(
    clean: LegacyWorld, database_factory: DatabaseFactory
) -> None:
    before = {service: clean.contents(service) for service in SERVICES}
    assert sum(len(rows) for tables in before.values() for rows in tables.values()) > 20_000
    assert not conductor.status(clean.plan, clean.environ).complete
    told = up(clean)
    assert [revision for kind, revision in told if kind == "applied"] == [
        step.revision for step in clean.plan.steps if not step.revision.endswith("_baseline")
    ]
    assert {service: clean.contents(service) for service in SERVICES} == before
    assert conductor.status(clean.plan, clean.environ).complete
    for service in SERVICES:
        assert differences(_catalog(clean.databases[service]), _catalog(database_factory.service(service))) == []
    assert {kind for kind, _ in up(clean)} == {"already"}


def test_legacy_schemas_in_one_database_go_to_head_and_keep_every_row(database_factory: DatabaseFactory) -> None:
    world = legacy_schemas(database_factory)
    # A conflict of one schema is that schema's alone.
    (conflict,) = (found for found in CONFLICTS if found.check == "overlapping_por")
    world.execute("ledger", *conflict.plant)
    (found,) = preflight(world.plan, world.environ).findings
    assert (found.service, found.check.name) == ("ledger", "overlapping_por")
    resolve(world.plan, "overlapping-por", actor="operator:test", apply=True, environ=world.environ)
    before = {service: world.contents(service) for service in SERVICES}
    up(world)
    assert {service: world.contents(service) for service in SERVICES} == before
    assert conductor.status(world.plan, world.environ).complete
    assert world.rows("ledger", "SELECT count(*) FROM audit_entry") == [(2,)]
    assert world.rows("orgs", "SELECT count(*) FROM audit_entry") == [(0,)]


def test_the_way_back_gives_the_legacy_rows_back(database_factory: DatabaseFactory) -> None:
    world = legacy_world(database_factory)
    before = {service: world.contents(service) for service in SERVICES}
    catalogs = {service: _columns(world, service) for service in SERVICES}
    up(world)
    # What the plan made of older rows goes with its tables, and is asked for by name.
    with pytest.raises(IrreversibleError, match="it drops what is in partner_of_record_version"):
        down(world)
    down(world, *DROPS_ROWS)
    assert {service: world.contents(service) for service in SERVICES} == before
    assert {service: _columns(world, service) for service in SERVICES} == catalogs
    up(world)
    assert {service: world.contents(service) for service in SERVICES} == before
    world.drop(database_factory)


def test_events_of_before_lie_in_the_default_partition_and_in_no_lane(clean: LegacyWorld) -> None:
    up(clean)
    found = clean.rows("metering", "SELECT tableoid::regclass::text, lane, count(*) FROM metering_event GROUP BY 1, 2")
    assert found == [("metering_event_default", -1, 3000)]
    clean.execute("metering", "SELECT metering_event_add_month(date '2025-08-01')")


def test_new_accounts_and_mappings_follow_the_numbers_that_were_given(clean: LegacyWorld) -> None:
    up(clean)
    clean.execute(
        "orgs",
        "INSERT INTO billing_account (billing_account_id, owner_org_id, name, currency)"
        " SELECT gen_random_uuid(), owner_org_id, 'New', 'AUD' FROM billing_account LIMIT 1",
    )
    assert clean.rows("orgs", "SELECT max(account_no), count(*) FROM billing_account") == [(16, 16)]


@pytest.mark.parametrize("service", SERVICES)
def test_every_constraint_that_rows_of_before_could_break_has_its_check(
    service: str, database_factory: DatabaseFactory
) -> None:
    world = legacy_world(database_factory, (service,))
    before = _rules(world, service)
    up(world)
    added = _rules(world, service) - before
    guarded = {name for check in pending_checks(load_plan(), service, f"{service}_baseline") for name in check.guards}
    assert added - guarded == NEVER_BROKEN[service]
    world.drop(database_factory)


def test_no_two_checks_and_no_fix_without_a_check_have_one_name() -> None:
    plan = load_plan()
    for service in SERVICES:
        names = [check.name for check in pending_checks(plan, service, None)]
        assert len(names) == len(set(names)) > 0
        assert all(re.fullmatch(r"[a-z_]+", name) for name in names)


def _rules(world: LegacyWorld, service: str) -> set[str]:
    """Constraints and unique indexes of the tables of before."""
    tables = ", ".join(f"'{table}'" for table in TABLES[service])
    found = world.rows(
        service,
        f"""
        SELECT n.conname FROM pg_constraint AS n JOIN pg_class AS c ON c.oid = n.conrelid
        WHERE c.relname IN ({tables}) AND n.contype <> 'n'
        UNION
        SELECT i.relname FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid
        JOIN pg_class AS c ON c.oid = x.indrelid WHERE c.relname IN ({tables}) AND x.indisunique
        """,
    )
    return {str(row[0]) for row in found}


def _columns(world: LegacyWorld, service: str) -> dict[str, str]:
    """Tables, columns, constraints and indexes."""
    kinds = ("table ", "column ", "constraint ", "index ", "trigger ", "function ")
    catalog = _catalog(world.databases[service])
    return {name: text for name, text in catalog.items() if name.startswith(kinds) and "alembic_version" not in name}


def _catalog(database: ServiceDatabase) -> dict[str, str]:
    with migration_engine(psycopg_url(database.owner_url)).connect() as connection:
        return read_catalog(connection)
