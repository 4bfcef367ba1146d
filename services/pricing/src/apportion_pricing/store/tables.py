"""The service's tables, as migrations build them; a test compares the two."""

from __future__ import annotations

from apportion_common.db.tables import NAMING_CONVENTION, head_table, lane_tables, shared_tables
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(naming_convention=NAMING_CONVENTION)
shared = shared_tables(metadata)
lanes = lane_tables(metadata)
config_head = head_table(metadata)

QUANTITY = Numeric(27, 9)
AMOUNT = Numeric(27, 9)
SUM = Numeric(38, 9)
"""What quantities or amounts add up to (decimals.SUM_INTEGER_DIGITS_MAX)."""
PRICE = Numeric(30, 12)
PERCENT = Numeric(7, 4)

_NOW = text("clock_timestamp()")
_ZERO = text("0")
_PERIOD = "period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'"
_CURRENCY = "currency ~ '^[A-Z]{3}$'"


def _at(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _now(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=_NOW)


def _not_negative(column: str) -> CheckConstraint:
    return CheckConstraint(f"{column} >= 0 AND {column} < 'NaN'", name=column)


def _a_number(column: str) -> CheckConstraint:
    return CheckConstraint(f"{column} <> 'NaN'", name=column)


product_sku = Table(
    "product_sku",
    metadata,
    Column("sku", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("cost", PRICE),
    Column("retail", PRICE),
    Column("tax_code", Text),
    Column("metadata", JSONB),
    Column("revision", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    _now("created_at"),
    CheckConstraint("type IN ('hosting', 'object', 'validation', 'action', 'analytics')", name="type"),
    _not_negative("cost"),
    _not_negative("retail"),
)

business_model = Table(
    "business_model",
    metadata,
    Column("model_id", Uuid, primary_key=True),
    Column("code", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("currency", Text, nullable=False),
    Column("default_plan_id", Uuid, ForeignKey("plan.plan_id", use_alter=True)),
    Column("revision", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    _now("created_at"),
    UniqueConstraint("code"),
    CheckConstraint("status IN ('draft', 'active', 'retired')", name="status"),
    CheckConstraint(_CURRENCY, name="currency"),
)

plan = Table(
    "plan",
    metadata,
    Column("plan_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("tier", Text),
    Column("currency", Text, nullable=False),
    Column("base_price", AMOUNT, nullable=False, server_default=_ZERO),
    Column("notes", Text),
    Column("model_id", Uuid, ForeignKey("business_model.model_id")),
    Column("status", Text, nullable=False, server_default=text("'active'")),
    Column("revision", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    _now("created_at"),
    UniqueConstraint("name"),
    CheckConstraint("status IN ('active', 'retired')", name="status"),
    CheckConstraint(_CURRENCY, name="currency"),
    _not_negative("base_price"),
)

plan_sku = Table(
    "plan_sku",
    metadata,
    Column("plan_id", Uuid, ForeignKey("plan.plan_id"), primary_key=True),
    Column("sku", Text, ForeignKey("product_sku.sku"), primary_key=True),
    Column("included_qty", QUANTITY, nullable=False, server_default=_ZERO),
    Column("overage_price", PRICE, nullable=False),
    Column("tiers", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("charge_model", Text, nullable=False),
    _at("effective_at"),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("created_by", Text, nullable=False),
    _now("created_at"),
    CheckConstraint(
        "charge_model IN ('per_unit', 'graduated', 'volume', 'package', 'percentage', 'flat', 'day_pass')",
        name="charge_model",
    ),
    _not_negative("included_qty"),
    _not_negative("overage_price"),
    CheckConstraint("jsonb_typeof(tiers) = 'array'", name="tiers"),
    Index("ix_plan_sku_revision", "revision"),
)

org_business_model = Table(
    "org_business_model",
    metadata,
    Column("org_id", Uuid, primary_key=True),
    Column("model_id", Uuid, ForeignKey("business_model.model_id")),
    Column("plan_id", Uuid, ForeignKey("plan.plan_id"), nullable=False),
    _at("effective_at"),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("assigned_by", Text, nullable=False),
    Column("notes", Text, nullable=False, server_default=text("''")),
    _now("created_at"),
    Index("ix_org_business_model_revision", "revision"),
)

org_entitlement = Table(
    "org_entitlement",
    metadata,
    Column("subject_type", Text, primary_key=True),
    Column("subject_id", Uuid, primary_key=True),
    Column("plan_id", Uuid, ForeignKey("plan.plan_id"), nullable=False),
    Column("overrides", JSONB, nullable=False),
    _at("effective_at"),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("created_by", Text, nullable=False),
    _now("created_at"),
    CheckConstraint("subject_type IN ('org', 'account')", name="subject_type"),
    CheckConstraint("jsonb_typeof(overrides) = 'object'", name="overrides"),
    Index("ix_org_entitlement_revision", "revision"),
)

tax_rate = Table(
    "tax_rate",
    metadata,
    Column("tax_code", Text, primary_key=True),
    Column("rate", PERCENT, nullable=False),
    _at("effective_at"),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("created_by", Text, nullable=False),
    _now("created_at"),
    CheckConstraint("rate >= 0 AND rate <= 100", name="rate"),
)

catalog_version = Table(
    "catalog_version",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("status", Text, nullable=False),
    Column("parity_run_id", Uuid, ForeignKey("parity_run.run_id")),
    Column("published_by", Text),
    _at("published_at", nullable=True),
    _now("created_at"),
    CheckConstraint("status IN ('draft', 'published')", name="status"),
    # A catalog version is published only after parity passed on it (spec 03, "Engine modes").
    CheckConstraint(
        "status = 'draft' OR (parity_run_id IS NOT NULL AND published_by IS NOT NULL AND published_at IS NOT NULL)",
        name="published",
    ),
)

parity_run = Table(
    "parity_run",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("catalog_version", BigInteger, nullable=False),
    Column("tolerance", AMOUNT, nullable=False),
    Column("status", Text, nullable=False),
    Column("started_by", Text, nullable=False),
    _now("started_at"),
    _at("finished_at", nullable=True),
    CheckConstraint("kind IN ('matrix', 'live')", name="kind"),
    CheckConstraint("status IN ('running', 'passed', 'failed', 'not_enough_data')", name="status"),
    _not_negative("tolerance"),
)

parity_result = Table(
    "parity_result",
    metadata,
    Column("run_id", Uuid, ForeignKey("parity_run.run_id"), primary_key=True),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("sku", Text, nullable=False),
    Column("estimated", SUM, nullable=False),
    Column("rated", SUM, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("detail", JSONB),
    _a_number("estimated"),
    _a_number("rated"),
)

engine_mode = Table(
    "engine_mode",
    metadata,
    # Null: the default of all organisations.
    Column("org_id", Uuid),
    Column("mode", Text, nullable=False),
    Column("override_reason", Text),
    Column("parity_run_id", Uuid, ForeignKey("parity_run.run_id")),
    # From which event time on; null: whatever the event time.
    _at("effective_at", nullable=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("created_by", Text, nullable=False),
    _now("created_at"),
    CheckConstraint("mode IN ('off', 'shadow', 'live')", name="mode"),
    CheckConstraint(
        "mode <> 'live' OR parity_run_id IS NOT NULL OR btrim(coalesce(override_reason, '')) <> ''",
        name="live_proved",
    ),
)

pricing_estimate = Table(
    "pricing_estimate",
    metadata,
    Column("estimate_id", Uuid, primary_key=True),
    Column("key", LargeBinary, nullable=False),
    Column("org_id", Uuid),
    Column("project_id", Uuid),
    Column("inputs", JSONB, nullable=False),
    Column("result", JSONB, nullable=False),
    Column("catalog_version", BigInteger, nullable=False),
    _now("created_at"),
    UniqueConstraint("key"),
)

usage_position = Table(
    "usage_position",
    metadata,
    Column("org_id", Uuid, primary_key=True),
    Column("sku", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("group_key", Text, primary_key=True, server_default=text("''")),
    Column("quantity", SUM, nullable=False),
    # Sums of the amounts of its live charges and of the others, of any size; null where they were never worked out.
    Column("charged", Numeric),
    Column("shadow_charged", Numeric),
    CheckConstraint(_PERIOD, name="period"),
    _not_negative("quantity"),
    _a_number("charged"),
    _a_number("shadow_charged"),
    postgresql_with={"fillfactor": 50},
)

charge = Table(
    "charge",
    metadata,
    Column("charge_id", Uuid, nullable=False),
    Column("event_id", Uuid),
    # What a charge comes of that has no event: the close of a period.
    Column("cause_id", Uuid),
    Column("org_id", Uuid, nullable=False),
    Column("project_id", Uuid),
    Column("billing_account_id", Uuid, nullable=False),
    Column("mapping_id", Uuid, nullable=False),
    Column("plan_id", Uuid, nullable=False),
    Column("sku", Text, nullable=False),
    Column("sku_type", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("quantity", QUANTITY, nullable=False),
    Column("quantity_before", SUM, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", AMOUNT, nullable=False),
    _at("event_time"),
    Column("period", Text, nullable=False),
    # The open period that bills a charge whose own was closed when it came; null: its own bills it.
    Column("billed_period", Text),
    # Revisions of the rows that the effective values came from.
    Column("included_revision", BigInteger, nullable=False),
    Column("price_revision", BigInteger, nullable=False),
    Column("tiers_revision", BigInteger, nullable=False),
    Column("catalog_revision", BigInteger, nullable=False),
    Column("orgs_revision", BigInteger, nullable=False),
    Column("lane", Integer, nullable=False),
    Column("pos", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    # Of one entry and kind there is a charge for an event, and one for each organisation that a close concerns.
    Column("ordinal", Integer, nullable=False, server_default=text("0")),
    _now("rated_at"),
    CheckConstraint("kind IN ('usage', 'rerate', 'base', 'minimum')", name="kind"),
    CheckConstraint("mode IN ('shadow', 'live', 'held')", name="mode"),
    _a_number("quantity"),
    _not_negative("quantity_before"),
    _a_number("amount"),
    CheckConstraint("event_id IS NOT NULL OR cause_id IS NOT NULL", name="cause"),
    CheckConstraint(
        "billed_period IS NULL OR (octet_length(billed_period) = 7 AND billed_period > period)", name="billed_period"
    ),
    # The order of rating. A key of the random ids would cost half as much again as the rest of the row.
    PrimaryKeyConstraint("lane", "seq", "kind", "ordinal"),
)

charge_refusal = Table(
    "charge_refusal",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("org_id", Uuid, nullable=False),
    Column("sku", Text, nullable=False),
    _at("event_time"),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("catalog_revision", BigInteger, nullable=False),
    Column("orgs_revision", BigInteger, nullable=False),
    Column("lane", Integer, nullable=False),
    Column("pos", BigInteger, nullable=False),
    _now("refused_at"),
    CheckConstraint(
        "reason IN ('UNKNOWN_ORG', 'UNKNOWN_SKU', 'NO_ENTITLEMENT', 'PERIOD_CLOSED', 'CORRECTION_BELOW_ZERO',"
        " 'CORRECTION_EXCEEDS_CHARGED', 'PROCESSING_FAILED')",
        name="reason",
    ),
)

period_close = Table(
    "period_close",
    metadata,
    Column("period", Text, nullable=False),
    Column("lane", Integer, nullable=False),
    # Null: every organisation of the lane.
    Column("org_id", Uuid),
    # 0 of a close; of a reopening its number among those of the organisation's period.
    Column("reopening", Integer, nullable=False, server_default=_ZERO),
    Column("pos", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    _now("closed_at"),
    UniqueConstraint("lane", "seq"),
    CheckConstraint(_PERIOD, name="period"),
    CheckConstraint("reopening = 0 OR (reopening > 0 AND org_id IS NOT NULL)", name="reopening"),
)

budget = Table(
    "budget",
    metadata,
    Column("budget_id", Uuid, primary_key=True),
    Column("subject_type", Text, nullable=False),
    Column("subject_id", Uuid, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", AMOUNT, nullable=False),
    Column("hard_cap", Boolean, nullable=False),
    _at("effective_at"),
    Column("revision", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    _now("created_at"),
    UniqueConstraint("subject_type", "subject_id", "revision"),
    CheckConstraint("subject_type IN ('org', 'account')", name="subject_type"),
    CheckConstraint(_CURRENCY, name="currency"),
    _not_negative("amount"),
)

budget_alert = Table(
    "budget_alert",
    metadata,
    Column("budget_id", Uuid, ForeignKey("budget.budget_id"), primary_key=True),
    Column("period", Text, primary_key=True),
    Column("percent", Integer, primary_key=True, autoincrement=False),
    _now("at"),
    CheckConstraint("percent IN (50, 80, 100)", name="percent"),
    CheckConstraint(_PERIOD, name="period"),
)
