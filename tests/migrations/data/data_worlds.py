"""Databases as they were before the plan, with rows, brought to the plan's revision; and what the tests see of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from alembic import command
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase, fetch_all
from apportion_migrate.data import DataMigration, load_migrations
from apportion_migrate.sessions import migration_engine, psycopg_url
from sqlalchemy import Engine

ROOT: Final = Path(__file__).resolve().parents[3]

# An id that rises with its number, so that a test knows which chunk a row is in.
ID: Final = "lpad(to_hex({n}), 32, '0')::uuid"

# Counts how often each row is written, whoever writes it.
COUNT_TOUCHES: Final = """
    CREATE TABLE touched (id uuid, at_xid xid8 DEFAULT pg_current_xact_id());
    CREATE FUNCTION note_touch() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        EXECUTE format('INSERT INTO touched (id) VALUES (($1).%I)', TG_ARGV[0]) USING NEW;
        RETURN NEW;
    END $$;
"""

INVITATIONS: Final = """
    INSERT INTO invitation (invitation_id, org_id, email, role, token_hash, expires_at)
    SELECT lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n %% 1000), 32, '0')::uuid,
        CASE WHEN n %% 10 = 0 THEN 'person' || n || '@example.test' ELSE ' Person' || n || '@Example.Test' END,
        'User', sha256(n::text::bytea), '2030-01-01T00:00:00Z'
    FROM generate_series(1, %s) AS n
"""


@dataclass(frozen=True)
class Legacy:
    """A database of a service that held rows before the plan's revision came."""

    database: ServiceDatabase
    migration: DataMigration
    engine: Engine

    def ask(self, query: str, *parameters: Any) -> Any:
        """The first column of the first row."""
        return self.rows(query, *parameters)[0][0]

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a query, on a connection of its own."""
        return fetch_all(self.database.owner_url, query, parameters)

    def session(self, **options: Any) -> psycopg.Connection[Any]:
        """A session of the owner's."""
        return psycopg.connect(self.database.owner_url, **options)

    def touched_more_than_once(self) -> int:
        """Rows that were written more than once since touches are counted."""
        found = self.ask("SELECT count(*) FROM (SELECT id FROM touched GROUP BY id HAVING count(*) > 1) AS twice")
        return int(found)


def count_touches(legacy: Legacy, table: str, key: str) -> None:
    """Count writes of a table's rows from now on."""
    with legacy.session() as session:
        session.execute(COUNT_TOUCHES)
        session.execute(
            f"CREATE TRIGGER note_touch AFTER INSERT OR UPDATE ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION note_touch('{key}')"
        )


def legacy_world(
    factory: DatabaseFactory, service: str, name: str, fill: Callable[[psycopg.Connection[Any]], None]
) -> Legacy:
    """A database at the baseline, filled, then upgraded to its head."""
    database = factory.blank(service)
    config = factory.alembic_config(database)
    command.upgrade(config, f"{service}_baseline")
    with psycopg.connect(database.owner_url) as session:
        fill(session)
    command.upgrade(config, "head")
    (migration,) = (found for found in load_migrations(service) if found.name == name)
    return Legacy(database, migration, migration_engine(psycopg_url(database.owner_url)))
