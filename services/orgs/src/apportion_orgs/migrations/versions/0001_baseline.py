"""What stood before the plan: organisations, a closure beside their parent pointers, accounts and mappings.

Why:        The plan's revision builds on these tables; on an environment that has them, this revision is adopted.
Lock class: None: creates tables only.
Reversible: Yes; the tables are dropped with what is in them.
Pre-flight: None.
"""

from __future__ import annotations

from alembic import op
from apportion_migrate.revision import RevisionNotes

revision = "orgs_baseline"
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
    CREATE TABLE organization (
        org_id uuid NOT NULL,
        legal_name text NOT NULL,
        org_slug text NOT NULL,
        billing_email text,
        default_timezone text,
        tax_id text,
        visibility text NOT NULL DEFAULT 'private',
        parent_org_id uuid,
        CONSTRAINT pk_organization PRIMARY KEY (org_id)
    )
    """,
    """
    CREATE TABLE billing_account (
        billing_account_id uuid NOT NULL,
        owner_org_id uuid NOT NULL,
        name text NOT NULL,
        currency text NOT NULL,
        status text NOT NULL DEFAULT 'active',
        account_no bigserial NOT NULL,
        CONSTRAINT pk_billing_account PRIMARY KEY (billing_account_id)
    )
    """,
    """
    CREATE TABLE org_billing_mapping (
        mapping_id uuid NOT NULL,
        org_id uuid NOT NULL,
        billing_account_id uuid NOT NULL,
        allocation text NOT NULL,
        percent numeric(7, 4),
        effective_at timestamptz NOT NULL,
        declared_order bigserial NOT NULL,
        CONSTRAINT pk_org_billing_mapping PRIMARY KEY (mapping_id)
    )
    """,
    # Kept by hand and by jobs: nothing made it follow the parent pointers.
    """
    CREATE TABLE org_hierarchy (
        ancestor_org_id uuid NOT NULL,
        descendant_org_id uuid NOT NULL,
        depth smallint NOT NULL
    )
    """,
)


def upgrade() -> None:
    """Make the tables."""
    for table in TABLES:
        op.execute(table)


def downgrade() -> None:
    """Drop the tables."""
    for name in ("org_hierarchy", "org_billing_mapping", "billing_account", "organization"):
        op.execute(f"DROP TABLE {name}")
