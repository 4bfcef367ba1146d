"""Period reopenings of orgs: which closed periods were asked to be opened again.

Why:        An operator opens a closed month again while no invoice of it is final (spec 08 choice 19); once it was
            asked for, no invoice of the month becomes final before the ledger has it.
Lock class: SHARE ROW EXCLUSIVE for an instant on organization, which the new table points to. No row is read or
            written.
Reversible: Yes. What was asked for is lost; the audit has it.
Pre-flight: None: the table is new.
"""

from __future__ import annotations

from alembic import op
from apportion_migrate import ops as safe
from apportion_migrate.revision import RevisionNotes

revision = "20261130_13_org_period_reopenings"
down_revision = "20261130_12_invoice_periods"
branch_labels = None
depends_on = None

NOTES = RevisionNotes(
    why="A closed month can be opened again while no invoice of it is final.",
    phase="expand",
    lock_class="exclusive-short",
    reversible=True,
    test="services/orgs/tests/test_orgs_period_reopenings.py",
)

TABLE = """
    CREATE TABLE period_reopening (
        period text NOT NULL,
        org_id uuid NOT NULL,
        number integer NOT NULL,
        reason text NOT NULL,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_period_reopening PRIMARY KEY (period, org_id, number),
        CONSTRAINT fk_period_reopening_org_id FOREIGN KEY (org_id) REFERENCES organization (org_id),
        CONSTRAINT ck_period_reopening_period CHECK (period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),
        CONSTRAINT ck_period_reopening_number CHECK (number > 0)
    )
"""


def upgrade() -> None:
    """Make the table, which only grows."""
    op.execute(TABLE)
    safe.grant("period_reopening", "SELECT, INSERT")
    safe.make_immutable("period_reopening")


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE period_reopening")
