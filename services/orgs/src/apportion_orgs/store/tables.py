"""The tables of orgs' database, equal to what the migrations build."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from apportion_common.db.tables import NAMING_CONVENTION, head_table, shared_tables
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

AMOUNT: Final = Numeric(27, 9)
SUM: Final = Numeric(38, 9)
"""What quantities or amounts add up to (decimals.SUM_INTEGER_DIGITS_MAX)."""
PERCENT: Final = Numeric(7, 4)
TIMESTAMPTZ: Final = DateTime(timezone=True)
NOW: Final = text("clock_timestamp()")
ZERO: Final = text("0")

ALLOCATIONS: Final = ("absorb", "chargeback", "split")
LINE_KINDS: Final = ("usage", "rerate", "base", "minimum", "adjustment", "reversal")
PERIOD_PATTERN: Final = "^[0-9]{4}-(0[1-9]|1[0-2])$"

metadata: Final = MetaData(naming_convention=NAMING_CONVENTION)
shared: Final = shared_tables(metadata)
config_head: Final = head_table(metadata)


def _one_of(column: str, values: Iterable[str]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def _finite(*columns: str) -> str:
    return " AND ".join(f"{column} <> 'NaN'::numeric" for column in columns)


def _amount(name: str) -> Column[object]:
    return Column(name, AMOUNT, nullable=False)


def _sum(name: str) -> Column[object]:
    return Column(name, SUM, nullable=False)


def _org(name: str = "org_id") -> Column[object]:
    return Column(name, Uuid, ForeignKey("organization.org_id"), nullable=False)


def _terms() -> tuple[Column[object], ...]:
    """Revision and author of a row of the configuration; rows from before revisions have revision 0."""
    return (
        Column("revision", BigInteger, nullable=False, server_default=ZERO),
        Column("created_by", Text, nullable=False, server_default=text("'migration'")),
        Column("created_at", TIMESTAMPTZ, nullable=False, server_default=NOW),
    )


def _made() -> tuple[Column[object], ...]:
    return (
        Column("created_by", Text, nullable=False),
        Column("created_at", TIMESTAMPTZ, nullable=False, server_default=NOW),
    )


organization: Final = Table(
    "organization",
    metadata,
    Column("org_id", Uuid, primary_key=True),
    Column("legal_name", Text, nullable=False),
    Column("org_slug", Text, nullable=False),
    Column("billing_email", Text),
    Column("default_timezone", Text),
    Column("tax_id", Text),
    Column("visibility", Text, nullable=False, server_default=text("'private'")),
    Column("parent_org_id", Uuid, ForeignKey("organization.org_id")),
    *_terms(),
    UniqueConstraint("org_slug"),
    CheckConstraint("org_slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'", name="org_slug"),
    CheckConstraint(_one_of("visibility", ("private", "partners", "public")), name="visibility"),
    CheckConstraint("parent_org_id <> org_id", name="not_its_parent"),
    Index("ix_organization_parent_org_id", "parent_org_id"),
)
"""`parent_org_id` is the truth about the hierarchy."""

org_hierarchy: Final = Table(
    "org_hierarchy",
    metadata,
    Column("ancestor_org_id", Uuid, ForeignKey("organization.org_id"), primary_key=True),
    Column("descendant_org_id", Uuid, ForeignKey("organization.org_id"), primary_key=True),
    Column("depth", SmallInteger, nullable=False),
    UniqueConstraint("descendant_org_id", "depth"),
    CheckConstraint("depth >= 0 AND depth <= 32", name="depth"),
    CheckConstraint("(depth = 0) = (ancestor_org_id = descendant_org_id)", name="self"),
)
"""The closure of the parent pointers, self rows included; `CheckHierarchy` proves it."""

billing_account: Final = Table(
    "billing_account",
    metadata,
    Column("billing_account_id", Uuid, primary_key=True),
    _org("owner_org_id"),
    Column("name", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'active'")),
    *_terms(),
    Column("account_no", BigInteger, Identity(always=True), nullable=False),
    Column("is_default", Boolean, nullable=False, server_default=text("false")),
    UniqueConstraint("account_no"),
    CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
    CheckConstraint(_one_of("status", ("active", "closed")), name="status"),
    Index("ix_billing_account_owner_org_id", "owner_org_id"),
    Index("ix_billing_account_default", "owner_org_id", unique=True, postgresql_where=text("is_default")),
)
"""`account_no` is what invoice numbers begin with."""

org_billing_mapping: Final = Table(
    "org_billing_mapping",
    metadata,
    Column("mapping_id", Uuid, primary_key=True),
    _org(),
    Column("billing_account_id", Uuid, ForeignKey("billing_account.billing_account_id"), nullable=False),
    Column("allocation", Text, nullable=False),
    Column("percent", PERCENT),
    Column("effective_at", TIMESTAMPTZ, nullable=False),
    *_terms(),
    Column("declared_order", BigInteger, nullable=False),
    UniqueConstraint("org_id", "effective_at"),
    UniqueConstraint("billing_account_id", "declared_order"),
    CheckConstraint(_one_of("allocation", ALLOCATIONS), name="allocation"),
    CheckConstraint("(allocation = 'split') = (percent IS NOT NULL)", name="split"),
    CheckConstraint("percent >= 0 AND percent <= 100", name="percent"),
)
"""Append-only: in force is the row of the greatest effective_at not after an instant."""

cost_center: Final = Table(
    "cost_center",
    metadata,
    Column("cost_center_id", Uuid, primary_key=True),
    _org(),
    Column("name", Text, nullable=False),
    *_made(),
    UniqueConstraint("org_id", "name"),
)

project: Final = Table(
    "project",
    metadata,
    Column("project_id", Uuid, primary_key=True),
    _org(),
    Column("name", Text, nullable=False),
    Column("cost_center_id", Uuid, ForeignKey("cost_center.cost_center_id")),
    *_made(),
    UniqueConstraint("org_id", "name"),
    Index("ix_project_cost_center_id", "cost_center_id"),
)

group_role_membership: Final = Table(
    "group_role_membership",
    metadata,
    Column("ancestor_org_id", Uuid, ForeignKey("organization.org_id"), primary_key=True),
    Column("user_id", Uuid, primary_key=True),
    Column("role", Text, primary_key=True),
    Column("granted_by", Text, nullable=False),
    Column("granted_at", TIMESTAMPTZ, nullable=False, server_default=NOW),
    CheckConstraint(_one_of("role", ("GroupAdmin", "GroupBilling", "GroupSupport")), name="role"),
    Index("ix_group_role_membership_user_id", "user_id"),
)

assist_session: Final = Table(
    "assist_session",
    metadata,
    Column("session_id", Uuid, primary_key=True),
    Column("actor_user_id", Uuid, nullable=False),
    _org("target_org_id"),
    Column("purpose", Text, nullable=False),
    Column("started_at", TIMESTAMPTZ, nullable=False, server_default=NOW),
    Column("expires_at", TIMESTAMPTZ, nullable=False),
    Column("ended_at", TIMESTAMPTZ),
    CheckConstraint("purpose <> ''", name="purpose"),
    CheckConstraint("expires_at > started_at AND ended_at >= started_at", name="times"),
    Index("ix_assist_session_target_org_id", "target_org_id", "started_at"),
    Index("ix_assist_session_open", "expires_at", postgresql_where=text("ended_at IS NULL")),
)

invoice: Final = Table(
    "invoice",
    metadata,
    Column("invoice_id", Uuid, primary_key=True),
    Column("billing_account_id", Uuid, ForeignKey("billing_account.billing_account_id"), nullable=False),
    Column("period", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("sequence", BigInteger),
    Column("number", Text),
    Column("currency", Text, nullable=False),
    _sum("ledger_total"),
    _sum("total"),
    _amount("rounding_difference"),
    Column("horizon", BigInteger, nullable=False),
    Column("until", TIMESTAMPTZ, nullable=False),
    Column("previous_invoice_id", Uuid, ForeignKey("invoice.invoice_id")),
    *_made(),
    Column("finalized_by", Text),
    Column("finalized_at", TIMESTAMPTZ),
    UniqueConstraint("billing_account_id", "sequence"),
    UniqueConstraint("number"),
    CheckConstraint(f"period ~ '{PERIOD_PATTERN}'", name="period"),
    CheckConstraint(_one_of("state", ("draft", "final", "paid", "void")), name="state"),
    CheckConstraint(
        "num_nonnulls(sequence, number, finalized_by, finalized_at) = CASE state WHEN 'draft' THEN 0 ELSE 4 END",
        name="numbered",
    ),
    CheckConstraint("sequence > 0", name="sequence"),
    CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
    CheckConstraint(_finite("ledger_total", "total"), name="finite"),
    CheckConstraint("rounding_difference = total - ledger_total", name="rounding"),
    CheckConstraint("horizon > 0", name="horizon"),
    Index("ix_invoice_draft", "billing_account_id", "period", unique=True, postgresql_where=text("state = 'draft'")),
    Index("ix_invoice_billing_account_id", "billing_account_id", "invoice_id"),
    Index("ix_invoice_period", "period", "invoice_id"),
)
"""A draft is drawn again in place; what has a number stays (triggers)."""

invoice_part: Final = Table(
    "invoice_part",
    metadata,
    Column("invoice_id", Uuid, ForeignKey("invoice.invoice_id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    _org(),
    _sum("ledger_total"),
    _sum("part"),
    Column("allocation", Text, nullable=False),
    Column("percent", PERCENT),
    _sum("owner_pays"),
    _sum("org_pays"),
    # The period of the usage. Null: the invoice's, of those drawn before parts had one.
    Column("period", Text),
    # Usage that came when its period was closed and is billed in a later one.
    Column("late", Boolean, nullable=False, server_default=text("false")),
    CheckConstraint("octet_length(period) = 7", name="period"),
    CheckConstraint("part = owner_pays + org_pays", name="payers"),
    CheckConstraint(_finite("ledger_total", "part"), name="finite"),
    CheckConstraint(_one_of("allocation", ALLOCATIONS), name="allocation"),
    CheckConstraint("(allocation = 'split') = (percent IS NOT NULL)", name="split"),
    CheckConstraint("percent >= 0 AND percent <= 100", name="percent"),
)

invoice_document: Final = Table(
    "invoice_document",
    metadata,
    Column("invoice_id", Uuid, ForeignKey("invoice.invoice_id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("document_id", Uuid, nullable=False),
    _org(),
    # A payer's, which is a credit note where its total is negative; the others are copies.
    Column("payable", Boolean, nullable=False),
    _sum("total"),
    Column("number", Text),
    UniqueConstraint("document_id"),
    UniqueConstraint("number"),
    UniqueConstraint("invoice_id", "org_id", "payable"),
    CheckConstraint(_finite("total"), name="finite"),
)

invoice_line: Final = Table(
    "invoice_line",
    metadata,
    Column("invoice_id", Uuid, ForeignKey("invoice.invoice_id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    _org(),
    Column("sku", Text, nullable=False),
    Column("project_id", Uuid),
    Column("kind", Text, nullable=False),
    _sum("quantity"),
    _sum("gross"),
    Column("partner_id", Uuid),
    _sum("partner_amount"),
    Column("partner_from_account", Boolean, nullable=False),
    Column("line_count", BigInteger, nullable=False),
    _sum("amount"),
    # Of the part that it belongs to. Null: its org's only one, of invoices drawn before parts had periods.
    Column("part_position", Integer),
    CheckConstraint(_one_of("kind", LINE_KINDS), name="kind"),
    CheckConstraint(_finite("quantity", "gross", "partner_amount", "amount"), name="finite"),
    CheckConstraint("partner_id IS NOT NULL OR (partner_amount = 0 AND NOT partner_from_account)", name="partner"),
    CheckConstraint("line_count > 0", name="line_count"),
)

invoice_number: Final = Table(
    "invoice_number",
    metadata,
    Column("billing_account_id", Uuid, ForeignKey("billing_account.billing_account_id"), primary_key=True),
    Column("last", BigInteger, nullable=False),
    CheckConstraint("last > 0", name="last"),
)
"""The last number given per account; who finalises locks the row, so numbers have no gaps."""

period_reopening: Final = Table(
    "period_reopening",
    metadata,
    Column("period", Text, primary_key=True),
    Column("org_id", Uuid, ForeignKey("organization.org_id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("reason", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", TIMESTAMPTZ, nullable=False, server_default=NOW),
    CheckConstraint("period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'", name="period"),
    CheckConstraint("number > 0", name="number"),
)
"""Reopenings of periods that were asked for. Immutable."""

rounding_entry: Final = Table(
    "rounding_entry",
    metadata,
    Column("invoice_id", Uuid, ForeignKey("invoice.invoice_id"), primary_key=True),
    Column("billing_account_id", Uuid, ForeignKey("billing_account.billing_account_id"), nullable=False),
    Column("currency", Text, nullable=False),
    _amount("amount"),
    Column("booked_at", TIMESTAMPTZ, nullable=False, server_default=NOW),
    CheckConstraint(_finite("amount"), name="amount"),
    Index("ix_rounding_entry_billing_account_id", "billing_account_id"),
)
"""Invoice total minus ledger total of each final invoice. Immutable."""
