"""What every service's migrations/env.py runs: Alembic against a given connection, a URL, or none (SQL as text).

Beside Alembic's version table it keeps the checksums of the applied revisions, written in each revision's own
transaction. A version table that Alembic made before (32 characters) is widened first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping
from contextlib import nullcontext
from typing import Any, Final, Literal

from alembic import context
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, Engine, MetaData, PrimaryKeyConstraint, Table, Text

from apportion_migrate.checksums import (
    CREATE_CHECKSUM_TABLE,
    checksum,
    delete_statement,
    insert_statement,
)
from apportion_migrate.locks import LOCK_WAIT_S, service_lock
from apportion_migrate.revision import RevisionNotes
from apportion_migrate.sessions import (
    LOCK_TIMEOUT_MS,
    STATEMENT_TIMEOUT_MS,
    apply_session_settings,
    migration_engine,
    migration_url,
)

_CHANGING: Final = frozenset({"upgrade", "downgrade", "do_stamp"})
"""What Alembic's commands call the functions that return the steps to take."""

NameType = Literal["schema", "table", "column", "index", "unique_constraint", "foreign_key_constraint"]


class WideVersionImpl(PostgresqlImpl):
    """PostgreSQL as Alembic knows it, with room in the version table for the plan's file names (Alembic's has 32)."""

    __dialect__ = "postgresql"

    def version_table_impl(
        self, *, version_table: str, version_table_schema: str | None, version_table_pk: bool, **_: Any
    ) -> Table:
        """Return the version table, with a text column."""
        table = Table(
            version_table, MetaData(), Column("version_num", Text, nullable=False), schema=version_table_schema
        )
        if version_table_pk:
            table.append_constraint(PrimaryKeyConstraint("version_num", name=f"{version_table}_pkc"))
        return table


def run(metadata: MetaData, service: str) -> None:
    """Run the Alembic command at hand for a service: the body of its env.py.

    Online it uses the Connection in `config.attributes["connection"]`, whose caller holds the service's lock; or else
    takes the lock itself, on the Engine there or on the URL in <SERVICE>_MIGRATION_DATABASE_URL
    (MigrationSettingError when it is not set), waiting for `config.attributes["lock_wait_s"]` at most. Offline it
    writes SQL. Each revision has its own transaction; the version table lies in the first schema of the search path.
    `metadata` is what autogenerate compares with: only its tables, so partitions and foreign tables do not show as
    differences.
    """
    options = _options(metadata, service)
    if context.is_offline_mode():
        options |= {"dialect_name": "postgresql", "literal_binds": True, "dialect_opts": {"paramstyle": "named"}}
        _run(service, options, lambda statement: context.get_context().impl.static_output(f"{statement};\n"))
        return
    given = context.config.attributes.get("connection")
    if isinstance(given, Connection):
        _run_online(given, service, options)
        return
    engine = given if isinstance(given, Engine) else migration_engine(migration_url(service))
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        apply_session_settings(connection, service)
        wait_s = context.config.attributes.get("lock_wait_s", LOCK_WAIT_S)
        with service_lock(connection, service, wait_s=wait_s) if _changes() else nullcontext():
            connection.execution_options(isolation_level="READ COMMITTED")
            _run_online(connection, service, options)
            connection.commit()
            connection.execution_options(isolation_level="AUTOCOMMIT")


def widen_version_table(connection: Connection) -> None:
    """Make room in a version table that Alembic made on its own: text keeps the stored bytes, so nothing is rewritten.

    A transaction that the caller has open stays open; otherwise none is left open.
    """
    outside = not connection.in_transaction()
    narrow = connection.exec_driver_sql(
        "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('alembic_version') AND attname = 'version_num'"
        " AND atttypid <> 'text'::regtype"
    ).first()
    if narrow is not None:
        connection.exec_driver_sql("ALTER TABLE alembic_version ALTER COLUMN version_num TYPE text")
    if outside:
        connection.commit()


def _changes() -> bool:
    """Return whether the command at hand changes the database; `current`, `check` and autogenerate only look."""
    context.configure(dialect_name="postgresql")
    return getattr(context.get_context().opts.get("fn"), "__name__", "") in _CHANGING


def _run_online(connection: Connection, service: str, options: dict[str, Any]) -> None:
    """Migrate through a connection."""
    apply_session_settings(connection, service)
    if _changes():
        widen_version_table(connection)

    def execute(statement: str) -> None:
        outside = not connection.in_transaction()
        connection.exec_driver_sql(statement)
        if outside:
            connection.commit()

    _run(service, {"connection": connection, **options}, execute)


def _run(service: str, options: dict[str, Any], execute: Callable[[str], None]) -> None:
    """Run the command; each revision under its own time-outs, each leaving its checksum."""
    changes = _changes()
    context.configure(**options)
    # Alembic keeps its options in one dictionary, which the second configure() below changes.
    settings = dict(context.get_context().opts)
    known = _checksums_of_steps(settings, service) if changes else {}

    def record(ctx: MigrationContext, step: MigrationInfo, heads: Collection[Any], run_args: Mapping[str, Any]) -> None:
        ctx.execute(CREATE_CHECKSUM_TABLE)
        for revision in step.up_revision_ids:
            if not step.is_upgrade:
                ctx.execute(delete_statement(revision))
            elif revision in known:
                ctx.execute(insert_statement(revision, known[revision], adopted=step.is_stamp))

    def timed(heads: Any, ctx: MigrationContext) -> Iterator[Any]:
        for step in settings["fn"](heads, ctx):
            notes = getattr(getattr(getattr(step, "revision", None), "module", None), "NOTES", None)
            for statement in _timeout_statements(notes):
                execute(statement)
            yield step

    context.configure(**options, fn=timed, on_version_apply=record)
    with context.begin_transaction():
        context.run_migrations()


def _checksums_of_steps(settings: Mapping[str, Any], service: str) -> dict[str, str]:
    """Return the checksums of the revisions that the command will touch.

    Taken before the command runs: a revision can be written as text only while no other is being applied.
    """
    migration = context.get_context()
    script: ScriptDirectory = settings["script"]
    steps = settings["fn"](migration.get_current_heads(), migration)
    revisions = [revision for step in steps for revision in step.info.up_revision_ids]
    if migration.connection is not None and not migration.as_sql:
        migration.connection.commit()
    return {revision: checksum(script.get_revision(revision), service) for revision in revisions}


def _timeout_statements(notes: RevisionNotes | None) -> Iterable[str]:
    """Yield the statements that set a revision's time-outs: the usual ones, or what its notes have a reason for."""
    lock = notes.lock_timeout_ms if notes is not None else None
    statement = notes.statement_timeout_ms if notes is not None else None
    yield f"SET lock_timeout = {lock or LOCK_TIMEOUT_MS}"
    yield f"SET statement_timeout = {statement or STATEMENT_TIMEOUT_MS}"


def _options(metadata: MetaData, service: str) -> dict[str, Any]:
    """Return Alembic's options, the same online and offline; `service` is for the helpers in ops."""
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
