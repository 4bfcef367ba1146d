"""What stood before the plan: partners, partners of record and rates, hardly constrained.

Why:        The plan's revision builds on these tables; on an environment that has them, this revision is adopted.
Lock class: None: creates tables only.
Reversible: Yes; the tables are dropped with what is in them.
Pre-flight: None.
"""

from __future__ import annotations

from alembic import op
from apportion_migrate.revision import RevisionNotes

revision = "ledger_baseline"
down_revision = None
branch_labels = None
depends_on = None

NOTES = RevisionNotes(
    why="The plan's revision builds on these tables; an environment that has them adopts this revision.",
    phase="expand",
    lock_class="none",
    reversible=True,
    test="tests/migrations/preflight/test_legacy_to_head.py",
)

TABLES = (
    """
    CREATE TABLE partner (
        partner_id uuid NOT NULL,
        name text NOT NULL,
        payout_currency text NOT NULL,
        status text NOT NULL DEFAULT 'active',
        CONSTRAINT pk_partner PRIMARY KEY (partner_id)
    )
    """,
    """
    CREATE TABLE commission_rate (
        rate_id uuid NOT NULL,
        partner_tier text NOT NULL,
        match_kind text NOT NULL,
        match_value text NOT NULL,
        pct numeric(7, 4) NOT NULL,
        effective_at timestamptz NOT NULL,
        CONSTRAINT pk_commission_rate PRIMARY KEY (rate_id)
    )
    """,
    """
    CREATE TABLE partner_of_record (
        por_id uuid NOT NULL,
        subject_type text NOT NULL,
        subject_id uuid NOT NULL,
        partner_id uuid NOT NULL,
        start_at timestamptz NOT NULL,
        end_at timestamptz,
        status text NOT NULL DEFAULT 'active',
        CONSTRAINT pk_partner_of_record PRIMARY KEY (por_id)
    )
    """,
)


def upgrade() -> None:
    for table in TABLES:
        op.execute(table)


def downgrade() -> None:
    for name in ("partner_of_record", "commission_rate", "partner"):
        op.execute(f"DROP TABLE {name}")
