"""The tables of the ledger's database, equal to what the migrations build."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from apportion_common.db.tables import NAMING_CONVENTION, head_table, lane_tables, shared_tables
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
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
from sqlalchemy.dialects.postgresql import TIMESTAMP, ExcludeConstraint
from sqlalchemy.types import UserDefinedType

from apportion_ledger.domain.kinds import LINE_KINDS

AMOUNT: Final = Numeric(27, 9)
SUM: Final = Numeric(38, 9)
"""What amounts add up to (decimals.SUM_INTEGER_DIGITS_MAX)."""
PCT: Final = Numeric(7, 4)
TIMESTAMPTZ: Final = TIMESTAMP(timezone=True)
NOW: Final = text("clock_timestamp()")
ZERO: Final = text("0")

metadata: Final = MetaData(naming_convention=NAMING_CONVENTION)
shared: Final = shared_tables(metadata)
lanes: Final = lane_tables(metadata)
config_head: Final = head_table(metadata)


class Xid8(UserDefinedType[int]):
    """A transaction id that never wraps."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the type's name in DDL."""
        return "xid8"


def _one_of(column: str, values: Iterable[str]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def _finite(*columns: str) -> str:
    return " AND ".join(f"{column} <> 'NaN'::numeric" for column in columns)


partner: Final = Table(
    "partner",
    metadata,
    Column("partner_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("payout_currency", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'active'")),
    Column("revision", BigInteger, nullable=False, server_default=ZERO),
    Column("created_by", Text, nullable=False, server_default=text("'migration'")),
    Column("created_at", TIMESTAMPTZ, nullable=False, server_default=NOW),
    CheckConstraint("payout_currency ~ '^[A-Z]{3}$'", name="payout_currency"),
    CheckConstraint(_one_of("status", ("active", "held", "closed")), name="status"),
)

partner_tier: Final = Table(
    "partner_tier",
    metadata,
    Column("partner_id", Uuid, ForeignKey("partner.partner_id"), primary_key=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("tier", Text, nullable=False),
    Column("effective_at", TIMESTAMPTZ, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", TIMESTAMPTZ, nullable=False, server_default=NOW),
    CheckConstraint("tier <> ''", name="tier"),
)
"""Append-only: in force is the row of the greatest (effective_at, revision) not after an instant."""

commission_rate: Final = Table(
    "commission_rate",
    metadata,
    Column("rate_id", Uuid, primary_key=True),
    Column("partner_tier", Text, nullable=False),
    Column("match_kind", Text, nullable=False),
    Column("match_value", Text, nullable=False),
    Column("pct", PCT, nullable=False),
    Column("effective_at", TIMESTAMPTZ, nullable=False),
    Column("revision", BigInteger, nullable=False, server_default=ZERO),
    Column("created_by", Text, nullable=False, server_default=text("'migration'")),
    Column("created_at", TIMESTAMPTZ, nullable=False, server_default=NOW),
    CheckConstraint("pct >= 0 AND pct <= 100", name="pct"),
    CheckConstraint(_one_of("match_kind", ("sku", "sku_type", "default")), name="match_kind"),
    CheckConstraint("(match_kind = 'default') = (match_value = '')", name="match_value"),
)
"""Append-only, as partner_tier."""

partner_of_record: Final = Table(
    "partner_of_record",
    metadata,
    Column("por_id", Uuid, primary_key=True),
    Column("subject_type", Text, nullable=False),
    Column("subject_id", Uuid, nullable=False),
    Column("partner_id", Uuid, ForeignKey("partner.partner_id"), nullable=False),
    Column("start_at", TIMESTAMPTZ, nullable=False),
    Column("end_at", TIMESTAMPTZ),
    Column("status", Text, nullable=False, server_default=text("'active'")),
    Column("revision", BigInteger, nullable=False, server_default=ZERO),
    Column("created_by", Text, nullable=False, server_default=text("'migration'")),
    Column("created_at", TIMESTAMPTZ, nullable=False, server_default=NOW),
    CheckConstraint(_one_of("subject_type", ("org", "billing_account")), name="subject_type"),
    CheckConstraint(_one_of("status", ("active", "expired", "disputed")), name="status"),
    CheckConstraint("end_at > start_at", name="interval"),
    ExcludeConstraint(
        ("subject_type", "="),
        ("subject_id", "="),
        (text("tstzrange(start_at, end_at)"), "&&"),
        name="ex_partner_of_record_overlap",
        using="gist",
    ),
    Index("ix_partner_of_record_partner_id", "partner_id"),
)
"""The assignments in their current state, without overlaps; partner_of_record_version keeps what was known when."""

partner_of_record_version: Final = Table(
    "partner_of_record_version",
    metadata,
    Column("por_id", Uuid, ForeignKey("partner_of_record.por_id"), primary_key=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("end_at", TIMESTAMPTZ),
    Column("status", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", TIMESTAMPTZ, nullable=False, server_default=NOW),
    CheckConstraint(_one_of("status", ("active", "expired", "disputed")), name="status"),
)
"""Append-only: what of an assignment can change, at each revision."""

ledger_line: Final = Table(
    "ledger_line",
    metadata,
    Column("entry_id", Uuid, primary_key=True),
    Column("charge_id", Uuid, nullable=False),
    Column("event_id", Uuid),
    # What a line comes of that has no event: the close of a period.
    Column("cause_id", Uuid),
    Column("kind", Text, nullable=False),
    Column("org_id", Uuid, nullable=False),
    Column("project_id", Uuid),
    Column("billing_account_id", Uuid, nullable=False),
    Column("mapping_id", Uuid, nullable=False),
    Column("sku", Text, nullable=False),
    Column("sku_type", Text, nullable=False),
    Column("quantity", AMOUNT, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount_gross", AMOUNT, nullable=False),
    Column("partner_id", Uuid),
    Column("partner_from_account", Boolean, nullable=False),
    Column("partner_pct", PCT, nullable=False),
    Column("partner_amount", AMOUNT, nullable=False),
    Column("net", AMOUNT, nullable=False),
    Column("reverses_entry_id", Uuid),
    Column("catalog_revision", BigInteger, nullable=False),
    Column("orgs_revision", BigInteger, nullable=False),
    Column("ledger_revision", BigInteger, nullable=False),
    Column("lane", SmallInteger),
    Column("pos", BigInteger),
    Column("seq", BigInteger),
    Column("period", Text, nullable=False),
    # The open period that bills a line whose own was closed when it came; null: its own bills it.
    Column("billed_period", Text),
    Column("event_time", TIMESTAMPTZ, nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    Column("posted_at", TIMESTAMPTZ, primary_key=True, server_default=NOW),
    Column("posted_xid", Xid8(), nullable=False, server_default=text("pg_current_xact_id()")),
    CheckConstraint("amount_gross = partner_amount + net", name="balanced"),
    CheckConstraint(_finite("quantity", "amount_gross", "partner_amount", "net"), name="finite"),
    CheckConstraint("partner_pct >= 0 AND partner_pct <= 100", name="partner_pct"),
    CheckConstraint(
        "partner_id IS NOT NULL OR (partner_pct = 0 AND partner_amount = 0 AND NOT partner_from_account)",
        name="partner",
    ),
    CheckConstraint(_one_of("kind", LINE_KINDS), name="kind"),
    CheckConstraint("(kind = 'reversal') = (reverses_entry_id IS NOT NULL)", name="reverses"),
    CheckConstraint("(lane IS NULL) = (pos IS NULL) AND (lane IS NULL) = (seq IS NULL)", name="place"),
    CheckConstraint("event_id IS NOT NULL OR cause_id IS NOT NULL", name="cause"),
    # What currencies and periods are made of is checked before; a regular expression a row would cost more than a key.
    CheckConstraint("octet_length(currency) = 3", name="currency"),
    CheckConstraint("octet_length(period) = 7", name="period"),
    CheckConstraint(
        "billed_period IS NULL OR (octet_length(billed_period) = 7 AND billed_period > period)", name="billed_period"
    ),
    CheckConstraint("octet_length(content_hash) = 32", name="content_hash"),
    Index("ix_ledger_line_org_id_event_time", "org_id", "event_time"),
    Index("ix_ledger_line_billing_account_id_event_time", "billing_account_id", "event_time"),
    Index(
        "ix_ledger_line_reverses_entry_id",
        "reverses_entry_id",
        postgresql_where=text("reverses_entry_id IS NOT NULL"),
    ),
    Index("ix_ledger_line_event_id", "event_id", postgresql_where=text("lane IS NULL")),
    postgresql_partition_by="RANGE (posted_at)",
)
"""One charge with its split: inserted and read, never changed. No foreign keys: they cost the poster 40 %."""

ledger_charge_key: Final = Table(
    "ledger_charge_key",
    metadata,
    Column("charge_id", Uuid, primary_key=True),
    Column("content_hash", LargeBinary, nullable=False),
    Column("entry_id", Uuid, nullable=False),
    CheckConstraint("octet_length(content_hash) = 32", name="content_hash"),
)
"""Every charge ever written, kept forever: once means once. The hash is of the charge, without its split."""

partner_balance: Final = Table(
    "partner_balance",
    metadata,
    Column("partner_id", Uuid, ForeignKey("partner.partner_id"), primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("earned", SUM, nullable=False, server_default=ZERO),
    Column("clawed_back", SUM, nullable=False, server_default=ZERO),
    Column("paid_real_time", SUM, nullable=False, server_default=ZERO),
    Column("paid_sweep", SUM, nullable=False, server_default=ZERO),
    CheckConstraint(_finite("earned", "clawed_back", "paid_real_time", "paid_sweep"), name="finite"),
)
"""The balance of a partner and currency: earned - clawed back - paid. Its row is the lock of all its payouts."""

partner_day: Final = Table(
    "partner_day",
    metadata,
    Column("partner_id", Uuid, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("earned", SUM, nullable=False, server_default=ZERO),
    Column("clawed_back", SUM, nullable=False, server_default=ZERO),
    Column("paid_real_time", SUM, nullable=False, server_default=ZERO),
    Column("line_count", BigInteger, nullable=False, server_default=ZERO),
    Column("real_time_count", BigInteger, nullable=False, server_default=ZERO),
    CheckConstraint(_finite("earned", "clawed_back", "paid_real_time"), name="finite"),
)
"""The same by the UTC day of the lines' event time: weeks (sweeps) and months (statements) are both sums of days."""

settlement: Final = Table(
    "settlement",
    metadata,
    Column("settlement_id", Uuid, primary_key=True),
    Column("partner_id", Uuid, ForeignKey("partner.partner_id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", SUM, nullable=False),
    Column("week", Text),
    Column("business_day", Date, nullable=False),
    Column("threshold", AMOUNT),
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("idempotency_key", Text, nullable=False),
    Column("entry_id", Uuid),
    Column("refusals", Integer, nullable=False, server_default=ZERO),
    Column("refused_at", TIMESTAMPTZ),
    Column("void_reason", Text),
    Column("created_at", TIMESTAMPTZ, nullable=False, server_default=NOW),
    Column("decided_at", TIMESTAMPTZ),
    UniqueConstraint("idempotency_key"),
    CheckConstraint("amount > 0 AND amount <> 'NaN'::numeric", name="amount"),
    CheckConstraint(_one_of("kind", ("real_time", "sweep")), name="kind"),
    CheckConstraint(_one_of("state", ("pending", "paid", "void")), name="state"),
    CheckConstraint("(kind = 'sweep') = (week IS NOT NULL)", name="week"),
    CheckConstraint("(kind = 'real_time') = (entry_id IS NOT NULL AND threshold IS NOT NULL)", name="entry"),
    CheckConstraint("(state = 'void') = (void_reason IS NOT NULL)", name="void_reason"),
    CheckConstraint("(state = 'pending') = (decided_at IS NULL)", name="decided"),
    Index("ix_settlement_partner_id_currency", "partner_id", "currency", "kind", "business_day"),
    Index("uq_settlement_entry_id", "entry_id", unique=True, postgresql_where=text("entry_id IS NOT NULL")),
    Index("ix_settlement_pending", "settlement_id", postgresql_where=text("state = 'pending'")),
)
"""A payout: pending -> paid | void. It counts on business_day: the day of the line's event, or the week's last."""

settlement_line: Final = Table(
    "settlement_line",
    metadata,
    Column("entry_id", Uuid, primary_key=True),
    Column("settlement_id", Uuid, ForeignKey("settlement.settlement_id"), primary_key=True),
    Index("ix_settlement_line_settlement_id", "settlement_id"),
)
"""The lines that a sweep was the first to cover, as reference: a line is in one sweep at most that is not void."""

sweep_run: Final = Table(
    "sweep_run",
    metadata,
    Column("week", Text, primary_key=True),
    Column("created_by", Text, nullable=False),
    Column("finished_at", TIMESTAMPTZ, nullable=False, server_default=NOW),
)
"""Weeks whose sweep came to its end: running it again only tells what it did."""

sweep_claim: Final = Table(
    "sweep_claim",
    metadata,
    Column("week", Text, primary_key=True),
    Column("partner_id", Uuid, ForeignKey("partner.partner_id"), primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("balance", SUM, nullable=False),
    Column("paid", SUM, nullable=False),
    Column("carried_reason", Text, nullable=False),
    Column("settlement_id", Uuid, ForeignKey("settlement.settlement_id")),
    Column("created_at", TIMESTAMPTZ, nullable=False, server_default=NOW),
    CheckConstraint("paid >= 0 AND paid <> 'NaN'::numeric", name="paid"),
    CheckConstraint("(paid > 0) = (settlement_id IS NOT NULL)", name="settlement"),
    CheckConstraint("paid = 0 OR paid <= balance", name="balance"),
)
"""What a sweep decided for one partner and currency; its key is what lets only one sweep pay it."""

payout_instruction: Final = Table(
    "payout_instruction",
    metadata,
    Column("settlement_id", Uuid, ForeignKey("settlement.settlement_id"), primary_key=True),
    Column("partner_id", Uuid, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", SUM, nullable=False),
    Column("created_at", TIMESTAMPTZ, nullable=False, server_default=NOW),
    Index("ix_payout_instruction_created_at", "created_at"),
)
"""The list that finance pays from: the built-in payout provider's. One row a settlement, forever."""

period_close: Final = Table(
    "period_close",
    metadata,
    Column("period", Text, nullable=False),
    Column("lane", SmallInteger, nullable=False),
    Column("org_id", Uuid),
    Column("pos", BigInteger, nullable=False),
    # Place among the changes of its batch.
    Column("ordinal", Integer, nullable=False, server_default=text("0")),
    # 0 of a close; of a reopening its number among those of the organisation's period.
    Column("reopening", Integer, nullable=False, server_default=text("0")),
    Column("closed_at", TIMESTAMPTZ, nullable=False, server_default=NOW),
    Column("posted_xid", Xid8(), nullable=False, server_default=text("pg_current_xact_id()")),
    CheckConstraint("period ~ '^[0-9]{4}-[0-9]{2}$'", name="period"),
    CheckConstraint("reopening = 0 OR (reopening > 0 AND org_id IS NOT NULL)", name="reopening"),
    Index("ix_period_close_period", "period", "lane", "pos", "ordinal"),
)
"""From where on a lane has a period closed, for one organisation or (null) for all."""

dispute: Final = Table(
    "dispute",
    metadata,
    Column("dispute_id", Uuid, primary_key=True),
    Column("partner_id", Uuid, ForeignKey("partner.partner_id"), nullable=False),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("reason", Text, nullable=False),
    Column("opened_by", Text, nullable=False),
    Column("opened_at", TIMESTAMPTZ, nullable=False, server_default=NOW),
    Column("resolved_by", Text),
    Column("resolved_at", TIMESTAMPTZ),
    CheckConstraint(_one_of("state", ("open", "upheld", "rejected")), name="state"),
    CheckConstraint("(state = 'open') = (resolved_at IS NULL)", name="resolved"),
    Index("ix_dispute_open", "partner_id", postgresql_where=text("state = 'open'")),
)
"""A question about lines: while it is open, their partner's payouts are held."""

dispute_line: Final = Table(
    "dispute_line",
    metadata,
    Column("dispute_id", Uuid, ForeignKey("dispute.dispute_id"), primary_key=True),
    Column("entry_id", Uuid, primary_key=True),
    Index("ix_dispute_line_entry_id", "entry_id"),
)

statement: Final = Table(
    "statement",
    metadata,
    Column("statement_id", Uuid, primary_key=True),
    Column("partner_id", Uuid, ForeignKey("partner.partner_id"), nullable=False),
    Column("currency", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("opening", SUM, nullable=False),
    Column("earned", SUM, nullable=False),
    Column("clawed_back", SUM, nullable=False),
    Column("paid_real_time", SUM, nullable=False),
    Column("paid_sweep", SUM, nullable=False),
    Column("closing", SUM, nullable=False),
    Column("issued_by", Text, nullable=False),
    Column("issued_at", TIMESTAMPTZ, nullable=False, server_default=NOW),
    UniqueConstraint("partner_id", "currency", "period"),
    CheckConstraint(
        "closing = opening + earned - clawed_back - paid_real_time - paid_sweep AND closing <> 'NaN'::numeric",
        name="closing",
    ),
)
"""Statements as they were issued."""
