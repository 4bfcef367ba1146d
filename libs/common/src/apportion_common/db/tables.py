"""The tables that every service has, as SQLAlchemy tables and as the DDL that migrations run.

Both say the same; a test compares them. The DDL is text, so that a migration does not change when these modules do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

NAMING_CONVENTION: Final = {
    "pk": "pk_%(table_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
}
"""Names of constraints and indexes in every service's metadata."""

LANE_PART_CHECK: Final = "part >= 0 AND part < part_count"
"""What holds for the part of a batch in the lane outbox."""

_NOW: Final = text("clock_timestamp()")
_ZERO: Final = text("0")


def _at(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=_NOW)


@dataclass(frozen=True, slots=True)
class SharedTables:
    """The tables behind the unit of work, idempotency, the outbox and the inbox."""

    audit_entry: Table
    request_record: Table
    outbox: Table
    inbox: Table


@dataclass(frozen=True, slots=True)
class LaneTables:
    """The tables behind the lane runtime."""

    lane: Table
    lane_worker: Table
    lane_outbox: Table


def shared_tables(metadata: MetaData) -> SharedTables:
    """Define the shared tables in a service's metadata."""
    audit_entry = Table(
        "audit_entry",
        metadata,
        Column("audit_id", Uuid, primary_key=True),
        _at("at"),
        Column("actor", Text, nullable=False),
        Column("acting_for", Text),
        Column("org_id", Uuid),
        Column("action", Text, nullable=False),
        Column("resource", Text, nullable=False),
        Column("before", JSONB),
        Column("after", JSONB),
        Column("request_id", Text),
        Column("trace_id", Text),
        Index("ix_audit_entry_at", "at", "audit_id"),
        Index("ix_audit_entry_resource", "resource", "at", "audit_id"),
        Index("ix_audit_entry_org_id", "org_id", "at", "audit_id"),
    )
    request_record = Table(
        "request_record",
        metadata,
        Column("subject", Text, primary_key=True),
        Column("request_id", Text, primary_key=True),
        Column("rpc", Text, nullable=False),
        Column("body_hash", LargeBinary, nullable=False),
        Column("response", LargeBinary, nullable=False),
        _at("at"),
        Index("ix_request_record_at", "at"),
    )
    unpublished = text("published_at IS NULL")
    outbox = Table(
        "outbox",
        metadata,
        Column("outbox_id", Uuid, primary_key=True),
        Column("subject", Text, nullable=False),
        Column("msg_id", Text, nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column("headers", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
        _at("created_at"),
        Column("published_at", DateTime(timezone=True)),
        Index("ix_outbox_unpublished", "created_at", "outbox_id", postgresql_where=unpublished),
        Index("ix_outbox_published_at", "published_at", postgresql_where=text("published_at IS NOT NULL")),
    )
    inbox = Table(
        "inbox",
        metadata,
        Column("consumer", Text, primary_key=True),
        Column("event_id", Uuid, primary_key=True),
        _at("at"),
    )
    return SharedTables(audit_entry, request_record, outbox, inbox)


def lane_tables(metadata: MetaData) -> LaneTables:
    """Define the lane runtime's tables in a service's metadata."""
    lane = Table(
        "lane",
        metadata,
        Column("role", Text, primary_key=True),
        Column("lane", Integer, primary_key=True, autoincrement=False),
        Column("epoch", BigInteger, nullable=False, server_default=_ZERO),
        Column("owner", Text, nullable=False, server_default=text("''")),
        # -infinity: nobody holds it. psycopg cannot read infinite times, so code compares it in SQL only.
        Column("lease_until", DateTime(timezone=True), nullable=False, server_default=text("'-infinity'")),
        Column("stream_id", Text, nullable=False, server_default=text("''")),
        Column("stream_seq", BigInteger, nullable=False, server_default=_ZERO),
        Column("pos", BigInteger, nullable=False, server_default=_ZERO),
        Column("next_seq", BigInteger, nullable=False, server_default=text("1")),
        Column("out_pos", BigInteger, nullable=False, server_default=_ZERO),
        Column("stopped_reason", Text),
    )
    lane_worker = Table(
        "lane_worker",
        metadata,
        Column("role", Text, primary_key=True),
        Column("worker_id", Text, primary_key=True),
        _at("seen_at"),
    )
    lane_outbox = Table(
        "lane_outbox",
        metadata,
        Column("role", Text, primary_key=True),
        Column("lane", Integer, primary_key=True, autoincrement=False),
        Column("pos", BigInteger, primary_key=True, autoincrement=False),
        Column("subject", Text, nullable=False),
        Column("payload", LargeBinary, nullable=False),
        _at("created_at"),
        # A batch that is too large for one message goes in parts, numbered from 0.
        Column("part", SmallInteger, primary_key=True, autoincrement=False, server_default=_ZERO),
        Column("part_count", SmallInteger, nullable=False, server_default=text("1")),
        CheckConstraint(LANE_PART_CHECK, name="part"),
    )
    return LaneTables(lane, lane_worker, lane_outbox)


def head_table(metadata: MetaData) -> Table:
    """Define the one-row table that numbers the revisions of a service's configuration."""
    return Table(
        "config_head",
        metadata,
        Column("only", Boolean, CheckConstraint('"only"', name="only"), primary_key=True, server_default=text("true")),
        Column("revision", BigInteger, nullable=False),
    )


REFUSE_CHANGE_DDL: Final = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Rows of % are never changed or deleted.', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$
"""
"""The function behind every immutable table: it refuses, with SQLSTATE 23001."""

DROP_REFUSE_CHANGE_DDL: Final = "DROP FUNCTION IF EXISTS refuse_change()"

_TABLE_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def immutable_ddl(table: str) -> tuple[str, ...]:
    """Return the statements that make the database refuse UPDATE, DELETE and TRUNCATE on a table, for every role.

    `REFUSE_CHANGE_DDL` has been run before. The triggers also fire in a replica session (ENABLE ALWAYS), so a
    session cannot switch them off without altering the table. Row triggers on a partitioned table are inherited by
    its partitions; statement triggers are not: call this for each partition made later with `truncate_ddl`.
    """
    _check_name(table)
    when = f"BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW"
    return (
        f"CREATE TRIGGER {table}_no_change {when} EXECUTE FUNCTION refuse_change()",
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_no_change",
        *truncate_ddl(table),
    )


def truncate_ddl(table: str) -> tuple[str, ...]:
    """Return the statements that make the database refuse TRUNCATE on a table or partition."""
    _check_name(table)
    return (
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} EXECUTE FUNCTION refuse_change()",
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_no_truncate",
    )


def _check_name(table: str) -> None:
    if _TABLE_NAME.fullmatch(table) is None:
        raise ValueError(f"{table!r} is not a plain table name.")


AUDIT_DDL: Final = (REFUSE_CHANGE_DDL, *immutable_ddl("audit_entry"))
"""Makes audit_entry append-only; part of SHARED_DDL."""

SHARED_DDL: Final = (
    """
    CREATE TABLE audit_entry (
        audit_id uuid NOT NULL,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        actor text NOT NULL,
        acting_for text,
        org_id uuid,
        action text NOT NULL,
        resource text NOT NULL,
        before jsonb,
        after jsonb,
        request_id text,
        trace_id text,
        CONSTRAINT pk_audit_entry PRIMARY KEY (audit_id)
    )
    """,
    "CREATE INDEX ix_audit_entry_at ON audit_entry (at, audit_id)",
    "CREATE INDEX ix_audit_entry_resource ON audit_entry (resource, at, audit_id)",
    "CREATE INDEX ix_audit_entry_org_id ON audit_entry (org_id, at, audit_id)",
    *AUDIT_DDL,
    """
    CREATE TABLE request_record (
        subject text NOT NULL,
        request_id text NOT NULL,
        rpc text NOT NULL,
        body_hash bytea NOT NULL,
        response bytea NOT NULL,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_request_record PRIMARY KEY (subject, request_id)
    )
    """,
    "CREATE INDEX ix_request_record_at ON request_record (at)",
    """
    CREATE TABLE outbox (
        outbox_id uuid NOT NULL,
        subject text NOT NULL,
        msg_id text NOT NULL,
        payload bytea NOT NULL,
        headers jsonb NOT NULL DEFAULT '{}'::jsonb,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        published_at timestamptz,
        CONSTRAINT pk_outbox PRIMARY KEY (outbox_id)
    )
    """,
    "CREATE INDEX ix_outbox_unpublished ON outbox (created_at, outbox_id) WHERE published_at IS NULL",
    "CREATE INDEX ix_outbox_published_at ON outbox (published_at) WHERE published_at IS NOT NULL",
    """
    CREATE TABLE inbox (
        consumer text NOT NULL,
        event_id uuid NOT NULL,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_inbox PRIMARY KEY (consumer, event_id)
    )
    """,
)
"""Makes the shared tables, one statement each; a migration runs them with `op.execute`."""

SHARED_GRANTS: Final = {
    "audit_entry": "SELECT, INSERT",
    "request_record": "SELECT, INSERT, UPDATE, DELETE",
    "outbox": "SELECT, INSERT, UPDATE, DELETE",
    "inbox": "SELECT, INSERT, DELETE",
}
"""What the application's role needs on the shared tables."""

DROP_SHARED_DDL: Final = (
    "DROP TABLE inbox",
    "DROP TABLE outbox",
    "DROP TABLE request_record",
    "DROP TABLE audit_entry",
    DROP_REFUSE_CHANGE_DDL,
)
"""The way back from SHARED_DDL, after everything else that uses `refuse_change` is gone."""

LANE_DDL: Final = (
    """
    CREATE TABLE lane (
        role text NOT NULL,
        lane integer NOT NULL,
        epoch bigint NOT NULL DEFAULT 0,
        owner text NOT NULL DEFAULT '',
        lease_until timestamptz NOT NULL DEFAULT '-infinity',
        stream_id text NOT NULL DEFAULT '',
        stream_seq bigint NOT NULL DEFAULT 0,
        pos bigint NOT NULL DEFAULT 0,
        next_seq bigint NOT NULL DEFAULT 1,
        out_pos bigint NOT NULL DEFAULT 0,
        stopped_reason text,
        CONSTRAINT pk_lane PRIMARY KEY (role, lane)
    )
    """,
    """
    CREATE TABLE lane_worker (
        role text NOT NULL,
        worker_id text NOT NULL,
        seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_lane_worker PRIMARY KEY (role, worker_id)
    )
    """,
    """
    CREATE TABLE lane_outbox (
        role text NOT NULL,
        lane integer NOT NULL,
        pos bigint NOT NULL,
        subject text NOT NULL,
        payload bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_lane_outbox PRIMARY KEY (role, lane, pos)
    )
    """,
    # Compressing a batch would cost more than half of its transaction; written apart it costs a tenth.
    "ALTER TABLE lane_outbox ALTER COLUMN payload SET STORAGE EXTERNAL",
)
"""Makes the lane runtime's tables as they were before batches had parts; LANE_PARTS_DDL leads on from there."""

LANE_PART_COLUMNS: Final = (
    "ALTER TABLE lane_outbox ADD COLUMN IF NOT EXISTS part smallint NOT NULL DEFAULT 0,"
    " ADD COLUMN IF NOT EXISTS part_count smallint NOT NULL DEFAULT 1"
)
"""Adds the columns of parts to the lane outbox, once or again: what is there is part 0 of 1."""

LANE_PART_KEY: Final = "role, lane, pos, part"
"""The columns of the lane outbox's primary key."""

LANE_PARTS_DDL: Final = (
    LANE_PART_COLUMNS,
    f"ALTER TABLE lane_outbox ADD CONSTRAINT ck_lane_outbox_part CHECK ({LANE_PART_CHECK})",
    "ALTER TABLE lane_outbox DROP CONSTRAINT pk_lane_outbox",
    f"ALTER TABLE lane_outbox ADD CONSTRAINT pk_lane_outbox PRIMARY KEY ({LANE_PART_KEY})",
)
"""Lets a batch in the lane outbox have parts, where nobody uses the table yet; a revision does it beside writers."""

LANE_GRANTS: Final = {
    "lane": "SELECT, INSERT, UPDATE",
    "lane_worker": "SELECT, INSERT, UPDATE, DELETE",
    "lane_outbox": "SELECT, INSERT, DELETE",
}
"""What the application's role needs on the lane runtime's tables."""

DROP_LANE_DDL: Final = ("DROP TABLE lane_outbox", "DROP TABLE lane_worker", "DROP TABLE lane")
"""The way back from LANE_DDL."""

HEAD_DDL: Final = (
    """
    CREATE TABLE config_head (
        "only" boolean NOT NULL DEFAULT true,
        revision bigint NOT NULL,
        CONSTRAINT pk_config_head PRIMARY KEY ("only"),
        CONSTRAINT ck_config_head_only CHECK ("only")
    )
    """,
    "INSERT INTO config_head (revision) VALUES (0)",
)
"""Makes the configuration head at revision 0."""

HEAD_GRANTS: Final = {"config_head": "SELECT, UPDATE"}
"""What the application's role needs on the configuration head."""

DROP_HEAD_DDL: Final = ("DROP TABLE config_head",)
"""The way back from HEAD_DDL."""
