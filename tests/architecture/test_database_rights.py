"""What a service's database role may do is what deploy/database-rights.toml says, and the server refuses the rest."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from apportion_common.db.engine import psycopg_url
from apportion_common.settings import SERVICES
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase
from house import ROOT
from psycopg import errors, sql

RIGHTS = ROOT / "deploy" / "database-rights.toml"
VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
APPEND_ONLY = ("audit_entry",)

_TABLES = """
SELECT c.relname, c.relispartition,
       ARRAY(SELECT verb FROM unnest(CAST(%(verbs)s AS text[])) AS verb
              WHERE has_table_privilege(CAST(%(role)s AS text), c.oid, verb)),
       EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
   AND n.nspname NOT LIKE 'pg_toast%%'
 ORDER BY 1
"""
_SEQUENCES = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND CASE WHEN c.relkind = 'S'
   THEN has_sequence_privilege(CAST(%(role)s AS text), c.oid, 'USAGE, SELECT, UPDATE') ELSE false END ORDER BY 1
"""
_FUNCTIONS = """
SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.prosecdef
   AND has_function_privilege(CAST(%(role)s AS text), p.oid, 'EXECUTE') ORDER BY 1
"""
_BEYOND = (
    "CREATE TABLE mine (n int)",
    "CREATE SCHEMA mine",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE SEQUENCE mine",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE EXTENSION pg_trgm",
    "CREATE ROLE mine",
    "ALTER TABLE audit_entry ADD COLUMN mine int",
    "ALTER TABLE audit_entry DISABLE TRIGGER ALL",
    "CREATE INDEX mine ON audit_entry (action)",
    "DROP TABLE audit_entry",
    "SET session_replication_role = 'replica'",
    "COPY audit_entry TO PROGRAM 'cat'",
    "COPY audit_entry TO '/tmp/mine'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT * FROM pg_authid",
)
"""What no service's role may do, whatever the tables."""


@pytest.fixture(scope="module", params=SERVICES)
def migrated(database_factory: DatabaseFactory, request: pytest.FixtureRequest) -> ServiceDatabase:
    return database_factory.service(str(request.param))


@pytest.fixture
def app(migrated: ServiceDatabase) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(psycopg_url(migrated.app_url), autocommit=True) as connection:
        yield connection


def declared(service: str) -> dict[str, Any]:
    return dict(tomllib.loads(RIGHTS.read_text(encoding="utf-8"))[service])


def found(database: ServiceDatabase) -> dict[str, Any]:
    """What the catalog says: rights on whole tables, functions that run with the owner's rights, sequences."""
    parameters = {"role": f"{database.service}_app", "verbs": list(VERBS)}
    with psycopg.connect(psycopg_url(database.owner_url), autocommit=True) as connection:
        tables: dict[str, str] = {}
        for name, is_partition, verbs, by_column in connection.execute(_TABLES, parameters):
            assert not by_column, f"{name}: a right on single columns is in no table of rights"
            if is_partition:
                assert not verbs, f"{name}: a partition is worked on through its parent"
            else:
                tables[name] = ", ".join(verbs)
        functions = [row[0] for row in connection.execute(_FUNCTIONS, parameters)]
        sequences = [row[0] for row in connection.execute(_SEQUENCES, parameters)]
    return {"functions": functions, "sequences": sequences, "tables": tables}


def statement(verb: str, table: str, column: str) -> sql.Composed:
    """A statement that needs the right and touches no row."""
    name, of = sql.Identifier(table), sql.Identifier(column)
    return {
        "SELECT": sql.SQL("SELECT {of} FROM {name} LIMIT 0"),
        "INSERT": sql.SQL("INSERT INTO {name} DEFAULT VALUES"),
        "UPDATE": sql.SQL("UPDATE {name} SET {of} = {of} WHERE false"),
        "DELETE": sql.SQL("DELETE FROM {name} WHERE false"),
        "TRUNCATE": sql.SQL("TRUNCATE {name}"),
    }[verb].format(name=name, of=of)


def is_refused(connection: psycopg.Connection[Any], query: sql.Composed | str) -> bool:
    """Whether a statement fails for want of a right; it is undone when it does not."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(query)  # type: ignore[arg-type]
    except errors.InsufficientPrivilege:
        return True
    except psycopg.errors.DatabaseError:
        return False
    return False


def test_the_catalog_grants_what_the_table_of_rights_says(migrated: ServiceDatabase) -> None:
    assert found(migrated) == declared(migrated.service)


def test_every_statement_beyond_the_table_of_rights_is_refused(
    migrated: ServiceDatabase, app: psycopg.Connection[Any]
) -> None:
    with psycopg.connect(psycopg_url(migrated.owner_url), autocommit=True) as owner:
        columns = dict(
            owner.execute(
                "SELECT c.relname, (SELECT attname FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0"
                " AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity = '' ORDER BY a.attnum LIMIT 1)"
                " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE c.relkind IN ('r', 'p') AND n.nspname = 'public'"
            ).fetchall()
        )
    tables = declared(migrated.service)["tables"]
    for table, column in columns.items():
        allowed = tables.get(table, "")
        for verb in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"):
            # A right to change needs one to read the row that is looked for.
            refused = is_refused(app, statement(verb, table, column))
            assert refused is (verb not in allowed.split(", ")), (table, verb)


def test_no_role_makes_or_changes_what_belongs_to_the_owner_or_the_server(app: psycopg.Connection[Any]) -> None:
    # COPY to a program or file asks for a role of the server's; the error is the same.
    for query in _BEYOND:
        assert is_refused(app, query), query


def test_append_only_tables_refuse_their_owner_too(migrated: ServiceDatabase) -> None:
    with psycopg.connect(psycopg_url(migrated.owner_url), autocommit=True) as owner:
        for table in APPEND_ONLY:
            with pytest.raises(psycopg.DatabaseError, match=r"append-only|refus|never|immutable"):
                owner.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(table)))


def test_every_service_has_a_table_of_rights_and_nobody_else() -> None:
    assert set(tomllib.loads(RIGHTS.read_text(encoding="utf-8"))) == set(SERVICES)
