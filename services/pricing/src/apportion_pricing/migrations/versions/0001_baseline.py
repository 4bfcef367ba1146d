"""What stood before the plan: SKUs, plans and their rows, hardly constrained.

Why:        The plan's revision builds on these tables; on an environment that has them, this revision is adopted.
Lock class: None: creates tables only.
Reversible: Yes; the tables are dropped with what is in them.
Pre-flight: None.
"""

from __future__ import annotations

from alembic import op
from apportion_migrate.revision import RevisionNotes

revision = "pricing_baseline"
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
    CREATE TABLE product_sku (
        sku text NOT NULL,
        type text NOT NULL,
        unit text NOT NULL,
        cost numeric(30, 12),
        retail numeric(30, 12),
        tax_code text,
        metadata jsonb,
        CONSTRAINT pk_product_sku PRIMARY KEY (sku)
    )
    """,
    """
    CREATE TABLE plan (
        plan_id uuid NOT NULL,
        name text NOT NULL,
        tier text,
        currency text NOT NULL,
        base_price numeric(27, 9) NOT NULL DEFAULT 0,
        notes text,
        CONSTRAINT pk_plan PRIMARY KEY (plan_id)
    )
    """,
    """
    CREATE TABLE plan_sku (
        plan_id uuid NOT NULL,
        sku text NOT NULL,
        included_qty numeric(27, 9) NOT NULL DEFAULT 0,
        overage_price numeric(30, 12) NOT NULL,
        tiers jsonb NOT NULL DEFAULT '[]'::jsonb,
        charge_model text NOT NULL DEFAULT 'per_unit'
    )
    """,
)


def upgrade() -> None:
    for table in TABLES:
        op.execute(table)


def downgrade() -> None:
    for name in ("plan_sku", "plan", "product_sku"):
        op.execute(f"DROP TABLE {name}")
