"""A whole environment: the schema alone activates nothing, rows of before are brought along, schemas may be shared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import psycopg
from alembic import command
from apportion_common.clock import SystemClock
from apportion_common.db.unit_of_work import Database
from apportion_common.settings import SERVICES
from apportion_dev.testing.databases import DatabaseFactory, fetch_all
from apportion_migrate import conductor, data, seeds
from apportion_migrate.data import Throttle
from apportion_migrate.plan import load_plan
from apportion_migrate.sessions import migration_engine, psycopg_url
from apportion_orgs.store.hierarchy import HierarchyStore
from data_worlds import INVITATIONS
from legacy_worlds import legacy_world

PATIENCE_S = 120


def migrate(environ: Mapping[str, str], *arguments: str) -> list[dict[str, Any]]:
    """What the command says, with every feature closed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FEATURE_")}
    done = subprocess.run(
        [sys.executable, "-m", "apportion_migrate.command", *arguments],
        env=clean | environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_an_upgrade_with_every_feature_closed_leaves_no_row_behind_and_seeds_none(
    database_factory: DatabaseFactory,
) -> None:
    made = {service: database_factory.blank(service) for service in SERVICES}
    environ = {f"{service.upper()}_MIGRATION_DATABASE_URL": one.owner_url for service, one in made.items()}
    conductor.up(load_plan(), report=lambda _: None, environ=environ)
    said = migrate(environ, "seed")
    assert {line["event"] for line in said} == {"closed"}
    assert {line["flag"] for line in said} == {"domain_claims", "por_ledger", "entitlements"}
    for service, database in made.items():
        url = database.owner_url
        tables = [
            row[0]
            for row in fetch_all(
                url,
                "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
                " AND relnamespace = 'public'::regnamespace",
            )
        ]
        assert len(tables) > 5
        filled = {table for table in tables if fetch_all(url, f'SELECT EXISTS (SELECT FROM "{table}")') == [(True,)]}
        bookkeeping = {table for table in filled if table.startswith(("alembic_", "migration_"))}
        assert filled - bookkeeping == {"config_head"}, service
        assert fetch_all(url, "SELECT revision FROM config_head") == [(0,)]
        database_factory.drop(database.name)


async def test_rows_of_a_legacy_environment_are_brought_along_by_one_command(database_factory: DatabaseFactory) -> None:
    world = legacy_world(database_factory)
    conductor.up(world.plan, report=lambda _: None, environ=world.environ)
    before = migrate(world.environ, "data", "status")
    assert {line["name"]: line["state"] for line in before} == {
        "invitation_addresses": "new",
        "plan_defaults": "new",
        "event_keys": "new",
        "org_roots": "new",
    }
    planned = {line["name"]: line["rows_to_change"] for line in migrate(world.environ, "data", "run", "--dry-run")}
    assert world.rows("identity", "SELECT count(*) FROM data_migration") == [(0,)]
    said = migrate(world.environ, "data", "run", "--pause-ms", "0")
    ends = {line["name"]: (line["rows_done"], line["left"]) for line in said if line["event"] == "done"}
    assert ends == {name: (rows, 0) for name, rows in planned.items()}
    assert {line["state"] for line in migrate(world.environ, "data", "status")} == {"done"}
    assert {line["event"] for line in migrate(world.environ, "data", "run")} == {"already"}

    assert world.rows("identity", "SELECT count(*) FROM invitation WHERE email ~ '[A-Z]|^ | $'") == [(0,)]
    assert world.rows("pricing", "SELECT count(*) FROM plan WHERE tier IS NULL OR notes IS NULL") == [(0,)]
    assert world.rows("metering", "SELECT count(*) FROM metering_event_key") == [(3000,)]
    defaults = "SELECT created_by, count(*) FROM billing_account WHERE is_default GROUP BY 1 ORDER BY 1"
    assert world.rows("orgs", defaults) == [("migration", 15), ("migration:org_roots", 5)]
    orgs = world.databases["orgs"]
    async with Database(orgs.engine, "orgs", SystemClock()).read() as connection:
        assert await HierarchyStore().differences(connection, 10) == []
    await orgs.close()
    world.drop(database_factory)


def test_data_migrations_and_seeds_work_in_a_schema_of_the_service(database_factory: DatabaseFactory) -> None:
    database = database_factory.blank("identity")
    with psycopg.connect(database.owner_url, autocommit=True) as session:
        session.execute("CREATE EXTENSION citext")
        session.execute("CREATE SCHEMA of_identity")
    url = f"{database.owner_url}?options=-csearch_path%3Dof_identity,public"
    engine = migration_engine(psycopg_url(url))
    config = database_factory.alembic_config(database)
    config.attributes["connection"] = engine
    command.upgrade(config, "identity_baseline")
    with psycopg.connect(url) as session:
        session.execute(INVITATIONS, (50,))
    command.upgrade(config, "head")
    (migration,) = data.load_migrations("identity")
    assert data.run(engine, migration, throttle=Throttle(pause_ms=0)).standing.rows_done == 45
    (file,) = seeds.load_files("identity")
    assert {row.outcome for row in seeds.load(engine, file)} == {"added"}
    assert {row.outcome for row in seeds.load(engine, file)} == {"same"}
    assert fetch_all(url, "SELECT count(*) FROM of_identity.global_setting") == [(2,)]
    assert fetch_all(
        database.owner_url,
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
    ) == [(0,)]
    database_factory.drop(database.name)
