"""What every service's migrations/env.py runs: Alembic against a given connection, a URL, or none (SQL as text)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, Literal

from alembic import context
from alembic.ddl.postgresql import PostgresqlImpl
from sqlalchemy import Column, Connection, Engine, MetaData, PrimaryKeyConstraint, Table, Text, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

LOCK_TIMEOUT_MS: Final = 2_000
"""Longest wait for a table lock: while DDL waits for its lock, every later query on the table waits behind it."""
STATEMENT_TIMEOUT_MS: Final = 15_000
CLIENT_CHECK_INTERVAL_MS: Final = 1_000
"""How soon the server notices that the runner is gone, and gives up the statement it was on."""
APPLICATION_NAME_MAX_BYTES: Final = 63

NameType = Literal["schema", "table", "column", "index", "unique_constraint", "foreign_key_constraint"]


class WideVersionImpl(PostgresqlImpl):
    """PostgreSQL as Alembic knows it, with room in the version table for the plan's file names (Alembic's has 32)."""

    __dialect__ = "postgresql"

    def version_table_impl(
        self, *, version_table: str, version_table_schema: str | None, version_table_pk: bool, **_: Any
    ) -> Table:
        """The version table, with a text column."""
        table = Table(
            version_table, MetaData(), Column("version_num", Text, nullable=False), schema=version_table_schema
        )
        if version_table_pk:
            table.append_constraint(PrimaryKeyConstraint("version_num", name=f"{version_table}_pkc"))
        return table


class MigrationSettingError(RuntimeError):
    """An environment variable that a migration needs is missing or unusable."""


def url_setting(service: str) -> str:
    """The name of the environment variable with the URL of a service's database owner."""
    return f"{service.upper()}_MIGRATION_DATABASE_URL"


def migration_url(service: str, environ: Mapping[str, str] | None = None) -> URL:
    """The URL of a service's database for its migrating owner; MigrationSettingError when it is not set or is none."""
    variable = url_setting(service)
    text = (os.environ if environ is None else environ).get(variable, "")
    if not text:
        raise MigrationSettingError(f"Set {variable} to the URL of the database owner of {service}.")
    try:
        return psycopg_url(text)
    except ArgumentError:
        # Without the cause: it would repeat the text, which may hold a password.
        raise MigrationSettingError(f"{variable} is not the URL of a database.") from None


def psycopg_url(text: str) -> URL:
    """A PostgreSQL URL for psycopg, whatever driver it names."""
    return make_url(text).set(drivername="postgresql+psycopg")


def migration_engine(url: URL) -> Engine:
    """An engine whose connections end with their use: a migration keeps no idle session."""
    return create_engine(url, poolclass=NullPool)


def session_settings(service: str) -> dict[str, str]:
    """The settings of a migrating session; milliseconds where they are times."""
    name = f"apportion-migrate {service} {socket.gethostname()}:{os.getpid()}"
    return {
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        "statement_timeout": str(STATEMENT_TIMEOUT_MS),
        "client_connection_check_interval": str(CLIENT_CHECK_INTERVAL_MS),
        "application_name": name.encode()[:APPLICATION_NAME_MAX_BYTES].decode(errors="ignore"),
    }


def apply_session_settings(connection: Connection, service: str) -> None:
    """Set the session settings on a connection.

    A transaction that the caller has open stays open; otherwise none is left open, so that Alembic commits its own.
    """
    outside = not connection.in_transaction()
    for name, value in session_settings(service).items():
        connection.exec_driver_sql("SELECT set_config(%s, %s, false)", (name, value))
    if outside:
        connection.commit()


def run(metadata: MetaData, service: str) -> None:
    """Run the Alembic command at hand for a service: the body of its env.py.

    Online it uses the Engine or Connection in `config.attributes["connection"]`, else connects to the URL in
    <SERVICE>_MIGRATION_DATABASE_URL (MigrationSettingError when it is not set). Offline it writes SQL. Each revision
    has its own transaction; the version table lies in the first schema of the search path. `metadata` is what
    autogenerate compares with: only its tables, so partitions and foreign tables do not show as differences.
    """
    options = _options(metadata, service)
    if context.is_offline_mode():
        _run_offline(service, options)
        return
    given = context.config.attributes.get("connection")
    if isinstance(given, Connection):
        _run_online(given, service, options)
        return
    engine = given if isinstance(given, Engine) else migration_engine(migration_url(service))
    with engine.connect() as connection:
        _run_online(connection, service, options)


def _run_online(connection: Connection, service: str, options: dict[str, Any]) -> None:
    """Migrate through a connection."""
    apply_session_settings(connection, service)
    context.configure(connection=connection, **options)
    with context.begin_transaction():
        context.run_migrations()


def _run_offline(service: str, options: dict[str, Any]) -> None:
    """Write the SQL of the migration, with the time-outs it would run under."""
    context.configure(dialect_name="postgresql", literal_binds=True, dialect_opts={"paramstyle": "named"}, **options)
    write = context.get_context().impl.static_output
    for name in ("lock_timeout", "statement_timeout"):
        write(f"SET {name} = {session_settings(service)[name]};\n")
    with context.begin_transaction():
        context.run_migrations()


def _options(metadata: MetaData, service: str) -> dict[str, Any]:
    """Alembic's options, the same online and offline; `service` is for the helpers in ops."""
    tables = {table.name for table in metadata.tables.values()}

    def include_name(name: str | None, kind: NameType, _parents: MutableMapping[Any, str | None]) -> bool:
        return kind != "table" or name in tables

    return {
        "target_metadata": metadata,
        "service": service,
        "include_name": include_name,
        "compare_type": True,
        "transaction_per_migration": True,
    }
