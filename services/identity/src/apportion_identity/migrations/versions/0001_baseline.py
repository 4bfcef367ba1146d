"""What stood before the plan: users, memberships, invitations, settings and domain claims, hardly constrained.

Why:        The plan's revision builds on these tables; on an environment that has them, this revision is adopted.
Lock class: None: creates tables only.
Reversible: Yes; the tables are dropped with what is in them.
Pre-flight: None.
"""

from __future__ import annotations

from alembic import op
from apportion_migrate.revision import RevisionNotes

revision = "identity_baseline"
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
    CREATE TABLE app_user (
        user_id uuid NOT NULL,
        email text NOT NULL,
        default_org_id uuid,
        CONSTRAINT pk_app_user PRIMARY KEY (user_id)
    )
    """,
    """
    CREATE TABLE membership (
        org_id uuid NOT NULL,
        user_id uuid NOT NULL,
        role text NOT NULL,
        status text NOT NULL,
        CONSTRAINT pk_membership PRIMARY KEY (org_id, user_id)
    )
    """,
    """
    CREATE TABLE invitation (
        invitation_id uuid NOT NULL,
        org_id uuid NOT NULL,
        email text NOT NULL,
        role text NOT NULL,
        token_hash bytea NOT NULL,
        expires_at timestamptz NOT NULL,
        consumed_at timestamptz,
        revoked_at timestamptz,
        invited_by uuid,
        CONSTRAINT pk_invitation PRIMARY KEY (invitation_id)
    )
    """,
    """
    CREATE TABLE global_setting (
        key text NOT NULL,
        value text NOT NULL,
        value_type text NOT NULL,
        scope text NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT pk_global_setting PRIMARY KEY (key, scope)
    )
    """,
    """
    CREATE TABLE domain_claim (
        claim_id uuid NOT NULL,
        org_id uuid NOT NULL,
        domain text NOT NULL,
        status text NOT NULL,
        verified_at timestamptz,
        proof jsonb,
        CONSTRAINT pk_domain_claim PRIMARY KEY (claim_id)
    )
    """,
)


def upgrade() -> None:
    for table in TABLES:
        op.execute(table)


def downgrade() -> None:
    for name in ("domain_claim", "global_setting", "invitation", "membership", "app_user"):
        op.execute(f"DROP TABLE {name}")
