"""The tables of the metering database, equal to what the migrations build."""

from __future__ import annotations

from typing import Final

from apportion_common.db.tables import NAMING_CONVENTION, head_table, lane_tables, shared_tables
from apportion_common.topology import DEAD_LETTER_REASONS
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from apportion_metering.domain.dead_letters import STATES

QUANTITY: Final = Numeric(27, 9)
TIMESTAMPTZ: Final = TIMESTAMP(timezone=True)

metadata: Final = MetaData(naming_convention=NAMING_CONVENTION)
shared: Final = shared_tables(metadata)
lanes: Final = lane_tables(metadata)
config_head: Final = head_table(metadata)


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


metering_event: Final = Table(
    "metering_event",
    metadata,
    Column("event_id", Uuid, nullable=False),
    Column("org_id", Uuid, nullable=False),
    Column("project_id", Uuid),
    Column("sku", Text, nullable=False),
    Column("quantity", QUANTITY, nullable=False),
    Column("source", SmallInteger, nullable=False),
    Column("event_time", TIMESTAMPTZ, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("received_at", TIMESTAMPTZ, nullable=False),
    Column("lane", SmallInteger, nullable=False),
    Column("pos", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("metadata", JSONB),
    CheckConstraint("quantity <> 'NaN'::numeric", name="quantity_finite"),
    Index(None, "lane", "pos"),
    postgresql_partition_by="RANGE (received_at)",
)
"""Events by batch and entry number, a partition a month; nothing is unique here, metering_event_key sees to that."""

metering_event_key: Final = Table(
    "metering_event_key",
    metadata,
    Column("org_id", Uuid, primary_key=True),
    Column("request_id", Text(collation="C"), primary_key=True),
    Column("content_hash", LargeBinary, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("lane", SmallInteger, nullable=False),
    Column("pos", BigInteger, nullable=False),
    Column("seq", BigInteger),
    CheckConstraint("octet_length(content_hash) = 32", name="content_hash_length"),
)
"""Every id ever taken, with its present batch and entry number; seq is null while a claimed id was never stored."""

lane_journal: Final = Table(
    "lane_journal",
    metadata,
    Column("lane", Integer, primary_key=True, autoincrement=False),
    Column("pos", BigInteger, primary_key=True, autoincrement=False),
    Column("seq_from", BigInteger, nullable=False),
    Column("seq_to", BigInteger, nullable=False),
    Column("event_count", Integer, nullable=False),
    Column("event_total", BigInteger, nullable=False),
    Column("catalog_revision", BigInteger),
    Column("orgs_revision", BigInteger),
    Column("charge_count", Integer),
    Column("refusal_count", Integer),
    Column("rated_at", TIMESTAMPTZ),
    Column("ledger_revision", BigInteger),
    Column("line_count", Integer),
    Column("lines_digest", LargeBinary),
    Column("posted_at", TIMESTAMPTZ),
    CheckConstraint("seq_to >= seq_from - 1", name="seq_range"),
    CheckConstraint("event_count >= 0 AND event_total >= event_count", name="event_count"),
)
"""The decision journal, a row a batch. event_total is the lane's running sum, so that status needs no count."""

dead_letter: Final = Table(
    "dead_letter",
    metadata,
    Column("dead_letter_id", Uuid, primary_key=True),
    Column("org_id", Uuid),
    Column("request_id", Text),
    Column("event_id", Uuid),
    Column("content_hash", LargeBinary),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False, server_default=text("''")),
    Column("payload", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("1")),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("lane", Integer, nullable=False),
    Column("seq", BigInteger),
    Column("requeue_attempt", Integer, nullable=False, server_default=text("0")),
    Column("taken_attempt", Integer, nullable=False, server_default=text("0")),
    Column("discard_reason", Text),
    Column("created_at", TIMESTAMPTZ, nullable=False, server_default=text("clock_timestamp()")),
    Column("updated_at", TIMESTAMPTZ, nullable=False, server_default=text("clock_timestamp()")),
    UniqueConstraint("org_id", "request_id", "content_hash"),
    CheckConstraint(_one_of("reason", DEAD_LETTER_REASONS), name="reason"),
    CheckConstraint(_one_of("state", STATES), name="state"),
    CheckConstraint("(state = 'discarded') = (discard_reason IS NOT NULL)", name="discard_reason"),
    CheckConstraint("taken_attempt BETWEEN 0 AND requeue_attempt", name="taken_attempt"),
    CheckConstraint("attempts >= 1", name="attempts"),
    Index(None, "event_id"),
    Index(None, "created_at", "dead_letter_id"),
    Index("ix_dead_letter_open", "reason", postgresql_where=text("state = 'open'")),
)
"""What was taken and not charged. payload is a serialised IntakeEvent, or the raw bytes of what could not be read."""

period_change: Final = Table(
    "period_change",
    metadata,
    Column("change_id", BigInteger, Identity(always=True), primary_key=True),
    Column("period", Text, nullable=False),
    Column("org_id", Uuid),
    Column("reopening", Integer, nullable=False),
    Column("changed_at", TIMESTAMPTZ, nullable=False, server_default=text("clock_timestamp()")),
    CheckConstraint("period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'", name="period"),
    CheckConstraint("reopening = 0 OR (reopening > 0 AND org_id IS NOT NULL)", name="reopening"),
    Index("ix_period_change_period", "period", "change_id"),
)
"""Closes (reopening 0) and reopenings of periods, of one organisation or all, as they were put into the lanes."""

metering_shadow: Final = Table(
    "metering_shadow",
    metadata,
    Column("lane", SmallInteger, primary_key=True, autoincrement=False),
    Column("stream_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", SmallInteger, primary_key=True, autoincrement=False),
    Column("org_id", Uuid, nullable=False),
    Column("project_id", Uuid),
    Column("request_id", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("quantity", QUANTITY, nullable=False),
    Column("event_time", TIMESTAMPTZ, nullable=False),
    Column("received_at", TIMESTAMPTZ, nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    Column("reconciliation_tag", Text),
    CheckConstraint("quantity <> 'NaN'::numeric", name="quantity_finite"),
    Index(None, "org_id", "request_id"),
)
"""The independent second copy of what was accepted (spec 04)."""

replay_run: Final = Table(
    "replay_run",
    metadata,
    Column("replay_id", Uuid, primary_key=True),
    Column("org_id", Uuid),
    Column("from_time", TIMESTAMPTZ, nullable=False),
    Column("to_time", TIMESTAMPTZ, nullable=False),
    Column("target", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'running'")),
    Column("done_count", BigInteger, nullable=False, server_default=text("0")),
    Column("total_count", BigInteger),
    Column("cursor", JSONB),
    Column("result", JSONB),
    Column("created_by", Text, nullable=False),
    Column("created_at", TIMESTAMPTZ, nullable=False, server_default=text("clock_timestamp()")),
    Column("finished_at", TIMESTAMPTZ),
    CheckConstraint(_one_of("target", ("verify", "repair")), name="target"),
    CheckConstraint(_one_of("state", ("running", "done", "failed", "cancelled")), name="state"),
    CheckConstraint("from_time < to_time", name="window"),
)

reconciliation_run: Final = Table(
    "reconciliation_run",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("tag", Text),
    Column("from_time", TIMESTAMPTZ),
    Column("to_time", TIMESTAMPTZ),
    Column("counts", JSONB),
    Column("created_by", Text, nullable=False),
    Column("created_at", TIMESTAMPTZ, nullable=False, server_default=text("clock_timestamp()")),
    Column("finished_at", TIMESTAMPTZ),
    CheckConstraint(_one_of("kind", ("pipeline", "provider_log")), name="kind"),
)

reconciliation_delta: Final = Table(
    "reconciliation_delta",
    metadata,
    Column("run_id", Uuid, ForeignKey("reconciliation_run.run_id"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("org_id", Uuid),
    Column("request_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("detail", JSONB),
    CheckConstraint(_one_of("kind", ("missing", "extra", "different")), name="kind"),
)
