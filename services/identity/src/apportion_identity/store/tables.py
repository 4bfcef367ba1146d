"""The service's tables, as migrations build them; a test compares the two."""

from __future__ import annotations

from apportion_common.db.tables import NAMING_CONVENTION, head_table, shared_tables
from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import CITEXT, JSONB

metadata = MetaData(naming_convention=NAMING_CONVENTION)
shared = shared_tables(metadata)
config_head = head_table(metadata)

ORG_ROLES = "('Owner', 'Admin', 'User')"


def _at(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


app_user = Table(
    "app_user",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("email", CITEXT, nullable=False),
    Column("default_org_id", Uuid),
    UniqueConstraint("email"),
    CheckConstraint("position('@' in email) > 1 AND length(email) <= 320", name="email"),
)

membership = Table(
    "membership",
    metadata,
    Column("org_id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("app_user.user_id"), primary_key=True),
    Column("role", Text, nullable=False),
    Column("status", Text, nullable=False),
    CheckConstraint(f"role IN {ORG_ROLES}", name="role"),
    CheckConstraint("status IN ('active', 'pending')", name="status"),
    Index("ix_membership_user_id", "user_id"),
)

invitation = Table(
    "invitation",
    metadata,
    Column("invitation_id", Uuid, primary_key=True),
    Column("org_id", Uuid, nullable=False),
    Column("email", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("token_hash", LargeBinary, nullable=False),
    _at("expires_at"),
    _at("consumed_at", nullable=True),
    _at("revoked_at", nullable=True),
    Column("invited_by", Uuid),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    UniqueConstraint("token_hash"),
    CheckConstraint("position('@' in email) > 1 AND length(email) <= 320", name="email"),
    CheckConstraint(f"role IN {ORG_ROLES}", name="role"),
    CheckConstraint("octet_length(token_hash) = 32", name="token_hash"),
    CheckConstraint("consumed_at IS NULL OR revoked_at IS NULL", name="one_end"),
    # Among live invitations only, so that a person can be invited again (spec 01).
    Index(
        "ix_invitation_live",
        "org_id",
        text("lower(email)"),
        unique=True,
        postgresql_where=text("consumed_at IS NULL AND revoked_at IS NULL"),
    ),
    # Counts an organisation's invitations of a day.
    Index("ix_invitation_org_id_created_at", "org_id", "created_at"),
)

global_setting = Table(
    "global_setting",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("value_type", Text, nullable=False),
    Column("scope", Text, primary_key=True),
    _at("updated_at"),
    CheckConstraint("value_type IN ('int', 'decimal', 'bool', 'text', 'list')", name="value_type"),
)

domain_claim = Table(
    "domain_claim",
    metadata,
    Column("claim_id", Uuid, primary_key=True),
    Column("org_id", Uuid, nullable=False),
    Column("domain", Text, nullable=False),
    Column("status", Text, nullable=False),
    _at("verified_at", nullable=True),
    Column("wildcard", Boolean, nullable=False, server_default=text("false")),
    Column("proof", JSONB(none_as_null=True)),
    Column("token_hash", LargeBinary),
    _at("token_expires_at", nullable=True),
    # When a message proved the domain, also when a conflict kept the claim from being verified.
    _at("proved_at", nullable=True),
    Column("created_by", Text, nullable=False),
    _at("created_at"),
    _at("updated_at"),
    CheckConstraint("status IN ('pending', 'verified', 'revoked', 'pending_conflict')", name="status"),
    CheckConstraint(
        "domain = lower(domain) AND length(domain) BETWEEN 3 AND 253 AND domain NOT LIKE '%.' AND domain LIKE '%.%'",
        name="domain",
    ),
    CheckConstraint("status <> 'verified' OR (verified_at IS NOT NULL AND proof IS NOT NULL)", name="verified"),
    CheckConstraint("proved_at IS NULL OR proof IS NOT NULL", name="proved"),
    CheckConstraint("NOT wildcard OR verified_at IS NOT NULL", name="wildcard"),
    CheckConstraint("octet_length(token_hash) = 32", name="token_hash"),
    CheckConstraint("(token_hash IS NULL) = (token_expires_at IS NULL)", name="token"),
    UniqueConstraint("token_hash"),
    Index(
        "ix_domain_claim_held",
        "domain",
        unique=True,
        postgresql_where=text("status IN ('pending', 'verified')"),
    ),
    Index("ix_domain_claim_org_id", "org_id"),
)

claim_verification = Table(
    "claim_verification",
    metadata,
    Column("verification_id", Uuid, primary_key=True),
    Column("claim_id", Uuid, ForeignKey("domain_claim.claim_id"), nullable=False),
    # HMAC of what was proved with: a message proves once.
    Column("proof_hash", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("accepted", Boolean, nullable=False),
    _at("at"),
    CheckConstraint("octet_length(proof_hash) = 32", name="proof_hash"),
    Index("ix_claim_verification_claim_id", "claim_id", "at"),
    Index("ix_claim_verification_accepted", "proof_hash", unique=True, postgresql_where=text("accepted")),
)

claim_conflict = Table(
    "claim_conflict",
    metadata,
    Column("conflict_id", Uuid, primary_key=True),
    Column("claim_id", Uuid, ForeignKey("domain_claim.claim_id"), nullable=False),
    Column("against_claim_id", Uuid, ForeignKey("domain_claim.claim_id"), nullable=False),
    Column("state", Text, nullable=False),
    _at("opened_at"),
    _at("due_at"),
    _at("escalated_at", nullable=True),
    Column("escalations", Integer, nullable=False),
    Column("resolution", Text),
    Column("resolved_by", Text),
    _at("resolved_at", nullable=True),
    CheckConstraint("state IN ('open', 'resolved')", name="state"),
    CheckConstraint("claim_id <> against_claim_id", name="two_claims"),
    CheckConstraint("due_at > opened_at", name="due_at"),
    CheckConstraint("escalations >= 0 AND (escalations = 0) = (escalated_at IS NULL)", name="escalations"),
    CheckConstraint(
        "num_nonnulls(resolution, resolved_by, resolved_at) = CASE state WHEN 'resolved' THEN 3 ELSE 0 END",
        name="resolved",
    ),
    Index(
        "ix_claim_conflict_open",
        "claim_id",
        "against_claim_id",
        unique=True,
        postgresql_where=text("state = 'open'"),
    ),
    Index("ix_claim_conflict_against_claim_id", "against_claim_id"),
    Index("ix_claim_conflict_due_at", "due_at", postgresql_where=text("state = 'open'")),
)

join_request = Table(
    "join_request",
    metadata,
    Column("request_id", Uuid, primary_key=True),
    Column("org_id", Uuid, nullable=False),
    Column("user_id", Uuid, ForeignKey("app_user.user_id")),
    Column("email", CITEXT),
    Column("state", Text, nullable=False),
    _at("created_at"),
    _at("decided_at", nullable=True),
    Column("decided_by", Text),
    CheckConstraint("state IN ('pending', 'approved', 'denied')", name="state"),
    CheckConstraint("num_nonnulls(user_id, email) = 1", name="who"),
    CheckConstraint(
        "num_nonnulls(decided_at, decided_by) = CASE state WHEN 'pending' THEN 0 ELSE 2 END", name="decided"
    ),
    Index(
        "ix_join_request_pending_user",
        "org_id",
        "user_id",
        unique=True,
        postgresql_where=text("state = 'pending'"),
    ),
    Index(
        "ix_join_request_pending_email",
        "org_id",
        "email",
        unique=True,
        postgresql_where=text("state = 'pending'"),
    ),
    Index("ix_join_request_user_id", "user_id"),
)

service_account = Table(
    "service_account",
    metadata,
    Column("account_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("roles", ARRAY(Text), nullable=False),
    Column("key_hash", LargeBinary, nullable=False),
    Column("created_by", Text, nullable=False),
    _at("created_at"),
    _at("revoked_at", nullable=True),
    UniqueConstraint("key_hash"),
    CheckConstraint("octet_length(key_hash) = 32", name="key_hash"),
    CheckConstraint("roles <@ ARRAY['operator', 'finance', 'service'] AND cardinality(roles) > 0", name="roles"),
    Index("ix_service_account_live", "name", unique=True, postgresql_where=text("revoked_at IS NULL")),
)

user_login = Table(
    "user_login",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("user_id", Uuid, ForeignKey("app_user.user_id"), nullable=False),
    _at("created_at"),
    Index("ix_user_login_user_id", "user_id"),
)

invitation_day = Table(
    "invitation_day",
    metadata,
    Column("org_id", Uuid, primary_key=True),
    # A day is UTC (spec 01, data).
    Column("day", Date, primary_key=True),
    Column("invited", Integer, nullable=False),
    CheckConstraint("invited > 0", name="invited"),
)

signing_key = Table(
    "signing_key",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("public_jwk", JSONB, nullable=False),
    # Encrypted with the key that only identity's processes are given.
    Column("sealed_private_key", LargeBinary, nullable=False),
    _at("created_at"),
    _at("signs_from"),
    # Set once a newer key signs: when the last token that this one signed is gone.
    _at("verifies_until", nullable=True),
    CheckConstraint("NOT public_jwk ? 'd'", name="public"),
    CheckConstraint("signs_from >= created_at AND verifies_until > signs_from", name="times"),
)
