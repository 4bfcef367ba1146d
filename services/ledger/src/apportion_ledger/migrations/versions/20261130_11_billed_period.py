"""Billed period: a line may be billed in a later period than that of its event.

Why:        Usage that comes after its month was closed is billed in an open one (spec 08 choices 17 and 18), and keeps
            the period that it belongs to.
Lock class: ACCESS EXCLUSIVE for an instant on ledger_line and its partitions, for a column without rows to write and a
            check before it is validated. No row is read or written under it.
Reversible: Yes, as long as no line is billed later than it was used; with one, which is never deleted, the way back
            refuses.
Pre-flight: None: the column is new and empty.
"""

from __future__ import annotations

from alembic import op
from apportion_migrate import ops as safe
from apportion_migrate.revision import RevisionNotes

revision = "20261130_11_billed_period"
down_revision = "20261130_10_line_causes"
branch_labels = None
depends_on = None

NOTES = RevisionNotes(
    why="Usage that comes after its month was closed is billed in an open one.",
    phase="expand",
    lock_class="exclusive-short",
    reversible=True,
    non_transactional=True,
    statement_timeout_ms=3_600_000,
    timeout_reason="The check is validated beside the writers, on tables of any size.",
    test="services/ledger/tests/test_ledger_billed_period.py",
)

CHECK = "CHECK (billed_period IS NULL OR (octet_length(billed_period) = 7 AND billed_period > period))"

REFUSE = """
    DO $do$ BEGIN
        IF EXISTS (SELECT FROM ledger_line WHERE billed_period IS NOT NULL) THEN
            RAISE EXCEPTION 'ledger_line holds lines billed in a later period: the revision before has no place.'
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
    END $do$
"""


def upgrade() -> None:
    """Add the column and its check."""
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE ledger_line ADD COLUMN IF NOT EXISTS billed_period text")
    safe.add_constraint_online("ledger_line", "ck_ledger_line_billed_period", CHECK)


def downgrade() -> None:
    """Go back, where every line is billed in the period of its event."""
    op.execute(REFUSE)
    op.execute("ALTER TABLE ledger_line DROP COLUMN billed_period")
