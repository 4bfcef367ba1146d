"""The migrations: what they build is what the code believes in, and they go back."""

from __future__ import annotations

import psycopg
import pytest
from alembic import command
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase, fetch_all
from apportion_dev.testing.plugin import BlankDatabase, MakeServiceDatabase
from apportion_ledger.store.tables import metadata
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import IntegrityError

PLAN = "20250920_02_por_commission_ledger"
OLD_POR = """
    INSERT INTO partner_of_record (por_id, subject_type, subject_id, partner_id, start_at, end_at)
    VALUES (gen_random_uuid(), 'org', '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002',
        '{start}', {end})
"""
CATALOG = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind <> 'i'
        AND c.relname <> 'alembic_version'
    UNION ALL
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND conrelid <> 'alembic_version'::regclass
    ORDER BY 1, 2, 3
"""


def test_migrations_build_what_the_tables_say(
    service_database: MakeServiceDatabase, database_factory: DatabaseFactory
) -> None:
    made = service_database("ledger")
    command.check(database_factory.alembic_config(made))


def test_every_constraint_of_the_tables_is_in_the_database(service_database: MakeServiceDatabase) -> None:
    made = service_database("ledger")
    inspector = inspect(create_engine(made.owner_url.replace("postgresql://", "postgresql+psycopg://")))
    for table in metadata.sorted_tables:
        if table.name == "config_head":  # PostgreSQL's catalogue gives the check of a bare boolean another form
            continue
        stand = {row["name"] for row in inspector.get_check_constraints(table.name)}
        believed = {
            constraint.name for constraint in table.constraints if type(constraint).__name__ == "CheckConstraint"
        }
        assert believed == stand, table.name


def test_the_way_back_leaves_what_stood_before(
    blank_database: BlankDatabase, database_factory: DatabaseFactory
) -> None:
    made = blank_database("ledger")
    config = database_factory.alembic_config(made)
    command.upgrade(config, "ledger_baseline")
    before = fetch_all(made.owner_url, CATALOG)
    command.upgrade(config, PLAN)
    after = fetch_all(made.owner_url, CATALOG)
    command.downgrade(config, "ledger_baseline")
    assert fetch_all(made.owner_url, CATALOG) == before
    command.upgrade(config, PLAN)
    assert fetch_all(made.owner_url, CATALOG) == after
    command.downgrade(config, "base")


def old_rows(made: ServiceDatabase, *statements: str) -> None:
    """Write what stood before the plan."""
    with psycopg.connect(made.owner_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_assignments_that_stood_before_are_adopted(
    blank_database: BlankDatabase, database_factory: DatabaseFactory
) -> None:
    made = blank_database("ledger")
    config = database_factory.alembic_config(made)
    command.upgrade(config, "ledger_baseline")
    partner = (
        "INSERT INTO partner (partner_id, name, payout_currency)"
        " VALUES ('00000000-0000-0000-0000-000000000002', 'Old', 'AUD')"
    )
    old_rows(made, partner, OLD_POR.format(start="2012-01-01", end="'2013-01-01'"))
    command.upgrade(config, PLAN)
    query = "SELECT revision, end_at::date::text, status, created_by FROM partner_of_record_version"
    assert fetch_all(made.owner_url, query) == [(0, "2013-01-01", "active", "migration")]


@pytest.mark.parametrize(("start", "end"), [("2012-06-01", "NULL"), ("2011-01-01", "'2012-01-01 00:00:00.000001'")])
def test_overlaps_that_stood_before_stop_the_migration_and_change_nothing(
    blank_database: BlankDatabase, database_factory: DatabaseFactory, start: str, end: str
) -> None:
    made = blank_database("ledger")
    config = database_factory.alembic_config(made)
    command.upgrade(config, "ledger_baseline")
    partner = (
        "INSERT INTO partner (partner_id, name, payout_currency)"
        " VALUES ('00000000-0000-0000-0000-000000000002', 'Old', 'AUD')"
    )
    old_rows(
        made, partner, OLD_POR.format(start="2012-01-01", end="'2013-01-01'"), OLD_POR.format(start=start, end=end)
    )
    before = fetch_all(made.owner_url, CATALOG)
    with pytest.raises(IntegrityError):
        command.upgrade(config, PLAN)
    assert fetch_all(made.owner_url, CATALOG) == before
