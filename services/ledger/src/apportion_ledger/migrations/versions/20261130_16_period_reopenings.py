"""Period reopenings: a period may close and open more than once, in the order of its lane.

Why:        An operator opens a closed month again while no invoice of it is final (spec 08 choice 19), and invoices
            must know which of closes and reopenings came last.
Lock class: ACCESS EXCLUSIVE for an instant on period_close: for two columns without rows to write, for a check before
            it is validated, and when its key goes. No row is read or written under it.
Reversible: Yes, as long as no period was reopened or closed twice; such rows, which are never deleted, have no place in
            the revision before, and the way back refuses.
Pre-flight: None: the new columns have constant defaults.
"""

from __future__ import annotations

from alembic import op
from apportion_migrate import ops as safe
from apportion_migrate.revision import RevisionNotes

revision = "20261130_16_period_reopenings"
down_revision = "20261130_11_billed_period"
branch_labels = None
depends_on = None

NOTES = RevisionNotes(
    why="A period may close and open more than once; the last change in the lane's order counts.",
    phase="expand",
    lock_class="exclusive-short",
    reversible=True,
    non_transactional=True,
    statement_timeout_ms=600_000,
    timeout_reason="The check is validated and the index built beside the writers.",
    test="services/ledger/tests/test_ledger_period_reopenings.py",
)

COLUMNS = """
    ALTER TABLE period_close
        ADD COLUMN IF NOT EXISTS ordinal integer NOT NULL DEFAULT 0,
        ADD COLUMN IF NOT EXISTS reopening integer NOT NULL DEFAULT 0
"""
CHECK = "CHECK (reopening = 0 OR (reopening > 0 AND org_id IS NOT NULL))"

DROP_KEY = """
    -- squawk-ignore ban-drop-constraint
    -- allow drop-constraint: writers insert with ON CONFLICT DO NOTHING, which names none
    ALTER TABLE period_close DROP CONSTRAINT uq_period_close_period_lane_org_id
"""

REFUSE = """
    DO $do$ BEGIN
        IF EXISTS (SELECT FROM period_close GROUP BY period, lane, org_id HAVING count(*) > 1 OR max(reopening) > 0)
        THEN
            RAISE EXCEPTION 'period_close holds periods that were reopened or closed twice.'
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
    END $do$
"""


def upgrade() -> None:
    """Add the columns, and let go of the key that allows one change of a period only."""
    with op.get_context().autocommit_block():
        op.execute(COLUMNS)
    safe.add_constraint_online("period_close", "ck_period_close_reopening", CHECK)
    safe.create_index_concurrently("ix_period_close_period", "period_close", "period, lane, pos, ordinal")
    op.execute(DROP_KEY)


def downgrade() -> None:
    """Go back, where every period was closed once at most."""
    op.execute(REFUSE)
    op.execute("DROP INDEX ix_period_close_period")
    op.execute(
        """
        ALTER TABLE period_close
            DROP COLUMN ordinal,
            DROP COLUMN reopening,
            ADD CONSTRAINT uq_period_close_period_lane_org_id UNIQUE NULLS NOT DISTINCT (period, lane, org_id)
        """
    )
