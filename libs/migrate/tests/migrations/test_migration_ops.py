"""The building blocks of revisions do in the database what they say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from alembic import command
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase
from apportion_migrate import conductor
from apportion_migrate import ops as safe
from apportion_migrate.sessions import psycopg_url
from migration_toys import Toy, make_toy
from psycopg import errors
from sqlalchemy import NullPool, create_engine

LEDGER = (
    "safe.create_shared_tables(); "
    "op.execute('CREATE TABLE entry (at timestamptz NOT NULL, amount int) PARTITION BY RANGE (at)'); "
    "safe.create_month_partitions('entry', immutable=True); "
    "safe.grant('entry', 'SELECT, INSERT')"
)


@pytest.fixture(scope="module")
def migrated(database_factory: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory) -> ServiceDatabase:
    """A database of alpha with an immutable table partitioned by month."""
    database = database_factory.blank("alpha")
    toy = make_toy(tmp_path_factory.mktemp("toy"), lambda _: database.owner_url, lambda _: database.app_url)
    toy.rewrite("alpha", LEDGER, "safe.drop_month_partitions('entry'); safe.drop_shared_tables()")
    config = toy.plan.alembic_config("alpha")
    config.attributes["connection"] = create_engine(psycopg_url(database.owner_url), poolclass=NullPool)
    command.upgrade(config, "head")
    return database


@pytest.fixture
def alpha(migrated: ServiceDatabase, database_factory: DatabaseFactory, tmp_path: Path) -> Iterator[Toy]:
    """A toy whose alpha is a copy of that."""
    database = database_factory.copy(migrated)
    yield make_toy(tmp_path, lambda _: database.owner_url, lambda _: database.app_url)
    database_factory.drop(database.name)


def app(toy: Toy) -> psycopg.Connection[tuple[object, ...]]:
    """A session of the role that alpha runs as."""
    return psycopg.connect(toy.app_url("alpha"), autocommit=True)


def test_the_service_adds_a_month_once_and_its_rows_go_there(alpha: Toy) -> None:
    with app(alpha) as session:
        assert session.execute("SELECT entry_add_month('2026-02-17')").fetchone() == ("entry_202602",)
        assert session.execute("SELECT entry_add_month('2026-02-01')").fetchone() == (None,)
        session.execute("INSERT INTO entry VALUES ('2026-02-28 23:59:59.999999Z', 1), ('2026-03-01Z', 2)")
        rows = session.execute("SELECT tableoid::regclass::text, amount FROM entry ORDER BY 2").fetchall()
    assert rows == [("entry_202602", 1), ("entry_default", 2)]


@pytest.mark.parametrize("zone", ["UTC", "Australia/Sydney", "America/Los_Angeles"])
def test_a_month_begins_in_utc_whatever_zone_the_session_has(alpha: Toy, zone: str) -> None:
    with app(alpha) as session:
        session.execute("SELECT set_config('TimeZone', %s, false)", (zone,))
        assert session.execute("SELECT entry_add_month('2026-01-31')").fetchone() == ("entry_202601",)
        session.execute("INSERT INTO entry VALUES ('2026-01-01 00:00Z', 1), ('2026-02-01 00:00Z', 2)")
        rows = session.execute("SELECT tableoid::regclass::text FROM entry ORDER BY amount").fetchall()
    assert rows == [("entry_202601",), ("entry_default",)]


@pytest.mark.parametrize("table", ["entry", "entry_default", "entry_202602"])
@pytest.mark.parametrize("change", ["UPDATE {} SET amount = 3", "DELETE FROM {}", "TRUNCATE {}"])
def test_parent_and_partitions_refuse_changes_by_their_owner_too(alpha: Toy, table: str, change: str) -> None:
    with alpha.connect("alpha") as session:
        session.execute("SELECT entry_add_month('2026-02-01')")
        session.execute("INSERT INTO entry VALUES ('2026-02-10Z', 1), ('2026-03-10Z', 2)")
        with pytest.raises(errors.RestrictViolation):
            session.execute(change.format(table).encode())


def test_the_refusals_of_every_partition_are_always_on(alpha: Toy) -> None:
    with alpha.connect("alpha") as session:
        session.execute("SELECT entry_add_month('2026-02-01')")
        rows = session.execute(
            "SELECT tgrelid::regclass::text, count(*), string_agg(DISTINCT tgenabled::text, '') FROM pg_trigger"
            " WHERE tgrelid::regclass::text LIKE 'entry%' GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert rows == [("entry", 2, "A"), ("entry_202602", 2, "A"), ("entry_default", 2, "A")]


@pytest.mark.parametrize("statement", ["SELECT * FROM entry_202602", "INSERT INTO entry_default VALUES (now(), 1)"])
def test_the_service_works_through_the_parent_only(alpha: Toy, statement: str) -> None:
    with app(alpha) as session:
        session.execute("SELECT entry_add_month('2026-02-01')")
        with pytest.raises(errors.InsufficientPrivilege):
            session.execute(statement.encode())


def test_a_temporary_table_of_the_caller_does_not_mislead_the_owners_function(alpha: Toy) -> None:
    with app(alpha) as session:
        session.execute("CREATE TEMPORARY TABLE entry_202602 (x int)")
        assert session.execute("SELECT entry_add_month('2026-02-01')").fetchone() == ("entry_202602",)


def test_what_default_privileges_gave_is_taken_back(toy: Toy) -> None:
    with toy.connect("alpha") as owner:
        owner.execute("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO alpha_app")
    toy.rewrite("alpha", LEDGER)
    conductor.up(toy.plan, report=lambda _: None, environ=toy.environ)
    with app(toy) as session, pytest.raises(errors.InsufficientPrivilege):
        session.execute("UPDATE audit_entry SET actor = 'x'")
    with app(toy) as session, pytest.raises(errors.InsufficientPrivilege):
        session.execute("INSERT INTO entry_default VALUES (now(), 1)")


@pytest.mark.parametrize("privileges", ["ALL", "TRUNCATE", "SELECT, TRIGGER"])
def test_more_than_reading_and_writing_rows_is_never_granted(toy: Toy, privileges: str) -> None:
    toy.rewrite("alpha", f"safe.grant('step_log', '{privileges}')")
    with pytest.raises(ValueError, match="never granted"):
        conductor.up(toy.plan, report=lambda _: None, environ=toy.environ)


def test_a_name_that_is_no_plain_identifier_is_refused() -> None:
    with pytest.raises(ValueError, match="plain identifier"):
        safe.grant_function("x; DROP TABLE y")
