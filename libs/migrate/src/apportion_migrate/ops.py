"""Building blocks of revisions: grants, immutable tables, monthly partitions, and the tables all services share.

Everything here is plain SQL through `op.execute`, so that it reads the same offline. What a helper writes is part of
every revision that uses it: once revisions are applied somewhere, a change of a table is a new revision, and a change
of a helper a new helper.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Final

from alembic import op
from apportion_common.db.tables import (
    DROP_HEAD_DDL,
    DROP_LANE_DDL,
    DROP_SHARED_DDL,
    HEAD_DDL,
    HEAD_GRANTS,
    LANE_DDL,
    LANE_GRANTS,
    LANE_PART_CHECK,
    LANE_PART_COLUMNS,
    LANE_PART_KEY,
    SHARED_DDL,
    SHARED_GRANTS,
    immutable_ddl,
    truncate_ddl,
)

from apportion_migrate.checksums import CHECKSUM_TABLE, CREATE_CHECKSUM_TABLE

IDENTIFIER_MAX_BYTES: Final = 63

VERSION_TABLES: Final = ("alembic_version", CHECKSUM_TABLE)

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_PRIVILEGES: Final = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})


def app_role() -> str:
    """Return the role that the migrating service runs as: `<service>_app`, or what <SERVICE>_APP_ROLE says."""
    options = op.get_context().opts
    service = str(options["service"])
    named = options.get("app_role") or os.environ.get(f"{service.upper()}_APP_ROLE")
    return _name(named or f"{service}_app")


def grant(table: str, privileges: str) -> None:
    """Grant the service's role exactly these privileges on a table, such as `"SELECT, INSERT"`, and no others.

    Whatever default privileges gave is taken away first: an append-only table stays one.
    """
    wanted = [privilege.strip().upper() for privilege in privileges.split(",")]
    unknown = sorted(set(wanted) - _PRIVILEGES)
    if unknown:
        raise ValueError(f"A service's role is never granted {', '.join(unknown)} on {table}.")
    op.execute(f"REVOKE ALL ON TABLE {_name(table)} FROM PUBLIC, {app_role()}")
    op.execute(f"GRANT {', '.join(wanted)} ON TABLE {_name(table)} TO {app_role()}")


def grant_function(signature: str) -> None:
    """Let the service's role, and nobody else, call a function such as `ledger_line_add_month(date)`."""
    _name(signature.partition("(")[0])
    op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {app_role()}")


def pin_search_path(signature: str) -> None:
    """Pin a function's search path to the schema at hand, temporary objects last: for SECURITY DEFINER."""
    _name(signature.partition("(")[0])
    op.execute(
        "DO $do$ BEGIN EXECUTE format("
        f"'ALTER FUNCTION {signature} SET search_path = %I, pg_temp', current_schema()); END $do$"
    )


def create_extension(name: str) -> None:
    """Have an extension in the database; the owner may create trusted ones (citext, btree_gist)."""
    op.execute(f"CREATE EXTENSION IF NOT EXISTS {_name(name)}")


def make_immutable(table: str) -> None:
    """Refuse UPDATE, DELETE and TRUNCATE of a table, for its owner too; needs `create_shared_tables()` before.

    Of a partitioned table: the row trigger passes to partitions that are attached later, the TRUNCATE trigger to none,
    so every partition has its own (see `create_month_partitions`). The triggers fire for replication roles as well.
    """
    _execute(immutable_ddl(table))


def create_month_partitions(table: str, *, immutable: bool = False) -> None:
    """Equip a table partitioned by RANGE of a timestamptz its DEFAULT partition and the function that adds months.

    `<table>_add_month(month date)` makes the partition `<table>_YYYYMM` of that month (UTC), returns its name, or NULL
    when it is there; callers wait for each other. It runs as the tables' owner. The service's role gets no privilege
    on a partition itself: it works through the parent. With `immutable`, parent and every partition refuse changes
    (needs `create_shared_tables()` before). A month of which the DEFAULT partition holds rows already cannot be added:
    PostgreSQL refuses it.
    """
    _name(f"{table}_default")
    role = app_role()
    op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
    op.execute(f"REVOKE ALL ON TABLE {table}_default FROM PUBLIC, {role}")
    guards = ""
    if immutable:
        make_immutable(table)
        _execute(truncate_ddl(f"{table}_default"))
        # The parent's statements with the new partition's name put in when the function runs.
        guards = "".join(
            f"EXECUTE replace($ddl${statement}$ddl$, '{table}_default', partition_name);\n            "
            for statement in truncate_ddl(f"{table}_default")
        )
    op.execute(
        f"""
        CREATE FUNCTION {table}_add_month(month date) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $function$
        DECLARE
            starts timestamp := date_trunc('month', month::timestamp);
            partition_name text := '{table}_' || to_char(starts, 'YYYYMM');
        BEGIN
            PERFORM pg_advisory_xact_lock(hashtextextended('{table}_add_month', 0));
            -- Looked for in our schema alone: a temporary table of the caller must not pass for the partition.
            IF EXISTS (
                SELECT FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = partition_name
            ) THEN
                RETURN NULL;
            END IF;
            EXECUTE format('CREATE TABLE %I (LIKE {table} INCLUDING ALL)', partition_name);
            EXECUTE format('REVOKE ALL ON TABLE %I FROM PUBLIC, {role}', partition_name);
            EXECUTE format(
                'ALTER TABLE {table} ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                partition_name, starts AT TIME ZONE 'UTC', (starts + interval '1 month') AT TIME ZONE 'UTC'
            );
            {guards}RETURN partition_name;
        END
        $function$
        """  # noqa: S608 (the names are checked identifiers)
    )
    pin_search_path(f"{table}_add_month(date)")
    grant_function(f"{table}_add_month(date)")


def drop_month_partitions(table: str) -> None:
    """Drop a partitioned table with its partitions and the function that adds months."""
    op.execute(f"DROP FUNCTION {_name(table)}_add_month(date)")
    op.execute(f"DROP TABLE {table}")


def create_shared_tables() -> None:
    """Create audit_entry, request_record, outbox, inbox and config_head with `refuse_change()` and grants.

    The service's role may also read the version table and the checksums beside it, so that it can wait for its
    revision.
    """
    _execute((*SHARED_DDL, *HEAD_DDL))
    for table, privileges in (SHARED_GRANTS | HEAD_GRANTS).items():
        grant(table, privileges)
    op.execute(CREATE_CHECKSUM_TABLE)
    for table in VERSION_TABLES:
        grant(table, "SELECT")


def drop_shared_tables() -> None:
    """Undo `create_shared_tables`; whatever else is immutable has been dropped before."""
    for table in VERSION_TABLES:
        op.execute(f"REVOKE ALL ON TABLE {table} FROM {app_role()}")
    _execute((*DROP_HEAD_DDL, *DROP_SHARED_DDL))


def create_lane_tables() -> None:
    """Create lane, lane_worker and lane_outbox, which hold a service's place in the lanes, with grants."""
    _execute(LANE_DDL)
    for table, privileges in LANE_GRANTS.items():
        grant(table, privileges)


def drop_lane_tables() -> None:
    """Undo `create_lane_tables`."""
    _execute(DROP_LANE_DDL)


def add_lane_outbox_parts() -> None:
    """Let a batch in lane_outbox have parts, beside the runtime that writes it: what is there is part 0 of 1.

    The only operation of its revision, which declares `non_transactional`. The old key stands until the new one takes
    its name, in the transaction that also records the revision; a run that was killed before begins it again.
    """
    with op.get_context().autocommit_block():
        op.execute(LANE_PART_COLUMNS)
    add_constraint_online("lane_outbox", "ck_lane_outbox_part", f"CHECK ({LANE_PART_CHECK})")
    create_index_concurrently("uq_lane_outbox_part", "lane_outbox", LANE_PART_KEY, unique=True)
    replace_primary_key("lane_outbox", "uq_lane_outbox_part")


def drop_lane_outbox_parts() -> None:
    """Undo `add_lane_outbox_parts`: refused as long as a batch in parts is kept, which the runtime deletes in time."""
    op.execute(
        """
        DO $do$ BEGIN
            IF EXISTS (SELECT FROM lane_outbox WHERE part_count > 1) THEN
                RAISE EXCEPTION 'lane_outbox holds batches in parts, which the revision before cannot publish.'
                    USING ERRCODE = 'object_not_in_prerequisite_state',
                        HINT = 'Stop what makes them, and go back when they have been published and deleted.';
            END IF;
        END $do$
        """
    )
    create_index_concurrently("uq_lane_outbox_pos", "lane_outbox", "role, lane, pos", unique=True)
    replace_primary_key("lane_outbox", "uq_lane_outbox_pos")
    op.execute("ALTER TABLE lane_outbox DROP COLUMN part_count, DROP COLUMN part")


def replace_primary_key(table: str, index: str) -> None:
    """Make a unique index that was built concurrently the primary key `pk_<table>`, in place of the one that is.

    The columns of the index are NOT NULL already. The index takes the key's name.
    """
    op.execute(
        f"ALTER TABLE {_name(table)} DROP CONSTRAINT pk_{table}, "
        f"ADD CONSTRAINT pk_{table} PRIMARY KEY USING INDEX {_name(index)}"
    )


def create_data_migration_table() -> None:
    """Create data_migration, which keeps how far each data migration of the service has come; the owner's alone."""
    op.execute(
        """
        CREATE TABLE data_migration (
            name text NOT NULL,
            state text NOT NULL,
            last_key jsonb,
            rows_done bigint NOT NULL DEFAULT 0,
            rows_total bigint,
            started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            CONSTRAINT data_migration_pkey PRIMARY KEY (name),
            CONSTRAINT data_migration_state CHECK (state IN ('running', 'paused', 'done')),
            CONSTRAINT data_migration_rows CHECK (rows_done >= 0 AND rows_total >= 0)
        )
        """
    )
    op.execute(f"REVOKE ALL ON TABLE data_migration FROM PUBLIC, {app_role()}")


def drop_data_migration_table() -> None:
    """Undo `create_data_migration_table`: how far data migrations have come is forgotten."""
    op.execute("DROP TABLE data_migration")


def create_index_concurrently(name: str, table: str, columns: str, *, unique: bool = False, where: str = "") -> None:
    """Build an index while the table is written to; the only operation of its revision, outside a transaction.

    `columns` is what stands between the parentheses, `where` the predicate of a partial index. An invalid index of
    this name, left by a build that was killed, is dropped first; a valid one is the finished work of a run that was
    killed before it could say so, and stays. Its revision declares `non_transactional`, and a statement time-out where
    the table is large.
    """
    made = f"CREATE {'UNIQUE ' if unique else ''}INDEX CONCURRENTLY {_name(name)} ON {_name(table)} ({columns})"
    state = None if op.get_context().as_sql else _index_state(name)
    with op.get_context().autocommit_block():
        # Written without a database, the statements must do for every state: an index in the way is built again.
        if op.get_context().as_sql or state is False:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        if state is not True:
            op.execute(f"{made} WHERE {where}" if where else made)


def drop_index_concurrently(name: str) -> None:
    """Drop an index while its table is in use; the only operation of its revision, outside a transaction."""
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_name(name)}")


def add_constraint_online(table: str, name: str, definition: str) -> None:
    """Add a CHECK or FOREIGN KEY without reading the table under a strong lock: NOT VALID first, then VALIDATE.

    `definition` is such as `"CHECK (amount >= 0)"`. The only operation of its revision, outside a transaction; a run
    that was killed in between begins it again.
    """
    if not definition.lstrip().upper().startswith(("CHECK", "FOREIGN KEY")):
        raise ValueError("Only a CHECK or a FOREIGN KEY can be added before it is validated.")
    with op.get_context().autocommit_block():
        op.execute(
            f"ALTER TABLE {_name(table)} DROP CONSTRAINT IF EXISTS {_name(name)}, "
            f"ADD CONSTRAINT {name} {definition} NOT VALID"
        )
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def change_numeric_online(table: str, columns: Iterable[str], checks: Mapping[str, str], to: str) -> None:
    """Make columns numeric of another precision, such as `numeric(38, 9)`, without reading the table to widen them.

    `checks` are all checks that the columns are in, by name: PostgreSQL would read the table under its strong lock to
    prove them again, so they are dropped with the change and proved beside the writers. Where the precision becomes
    smaller the whole table is written, and a number that is too large is refused. The only operation of its revision,
    outside a transaction; a run that was killed in between begins it again.
    """
    with op.get_context().autocommit_block():
        op.execute(f"-- squawk-ignore changing-column-type\n{numeric_change(table, columns, checks, to)}")
        for name in checks:
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def numeric_change(table: str, columns: Iterable[str], checks: Mapping[str, str], to: str) -> str:
    """Return the statement of `change_numeric_online` that leaves the checks to be validated."""
    parts = [f"DROP CONSTRAINT IF EXISTS {_name(name)}" for name in checks]
    parts += [f"ALTER COLUMN {_name(column)} TYPE {to}" for column in columns]
    parts += [f"ADD CONSTRAINT {name} {definition} NOT VALID" for name, definition in checks.items()]
    return f"ALTER TABLE {_name(table)} {', '.join(parts)}"


def set_not_null_online(table: str, column: str) -> None:
    """Make a column NOT NULL without reading the table under a strong lock: a validated CHECK proves it beforehand.

    The only operation of its revision, outside a transaction; a run that was killed in between begins it again.
    """
    proof = _name(f"ck_{table}_{column}_not_null")
    with op.get_context().autocommit_block():
        op.execute(
            f"ALTER TABLE {_name(table)} DROP CONSTRAINT IF EXISTS {proof}, "
            f"ADD CONSTRAINT {proof} CHECK ({_name(column)} IS NOT NULL) NOT VALID"
        )
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {proof}")
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL, DROP CONSTRAINT {proof}")


def _index_state(name: str) -> bool | None:
    """Return whether an index is valid; None when there is none of this name in our schema."""
    valid = (
        op.get_bind()
        .exec_driver_sql(
            "SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " WHERE c.relname = %s AND c.relnamespace = current_schema()::regnamespace",
            (name,),
        )
        .scalar()
    )
    return None if valid is None else bool(valid)


def _execute(statements: Iterable[str]) -> None:
    for statement in statements:
        op.execute(statement)


def _name(name: str) -> str:
    """Return a plain lower-case identifier, checked because it goes into SQL as text."""
    if _NAME.fullmatch(name) is None or len(name) > IDENTIFIER_MAX_BYTES:
        raise ValueError(f"{name!r} is not a plain identifier of at most {IDENTIFIER_MAX_BYTES} characters.")
    return name
