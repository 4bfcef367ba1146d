"""What stood before the plan: events as they came, once or twice.

Why:        The plan's revision builds on this table; on an environment that has it, this revision is adopted.
Lock class: None: creates a table only.
Reversible: Yes; the table is dropped with what is in it.
Pre-flight: None.
"""

from __future__ import annotations

from alembic import op
from apportion_migrate.revision import RevisionNotes

revision = "metering_baseline"
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
    CREATE TABLE metering_event (
        event_id uuid NOT NULL,
        org_id uuid NOT NULL,
        project_id uuid,
        sku text NOT NULL,
        quantity numeric(27, 9) NOT NULL,
        event_time timestamptz NOT NULL,
        request_id text NOT NULL,
        metadata jsonb
    )
    """,
    "CREATE INDEX ix_metering_event_event_id ON metering_event (event_id)",
)


def upgrade() -> None:
    """Make the table and its index."""
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Drop the table."""
    op.execute("DROP TABLE metering_event")
