"""Period changes: what metering put into the lanes about periods, and a reason more for dead letters.

Why:        Late usage is requeued into a period that is open, so metering knows which ones are; and a correction of
            more than was charged is refused (spec 08 choices 15, 18 and 19).
Lock class: ACCESS EXCLUSIVE for an instant on dead_letter, for a check before it is validated. No row is read or
            written under it.
Reversible: Yes, as long as no dead letter has the new reason. What was noted of periods is lost; the lanes have it.
Pre-flight: None: the table is new, and the new check lets in all that the old one did.
"""

from __future__ import annotations

from alembic import op
from apportion_migrate import ops as safe
from apportion_migrate.revision import RevisionNotes

revision = "20261130_14_period_changes"
down_revision = "20261130_06_metering_outbox_parts"
branch_labels = None
depends_on = None

NOTES = RevisionNotes(
    why="Late usage is requeued into an open period; a correction of more than was charged is refused.",
    phase="expand",
    lock_class="exclusive-short",
    reversible=True,
    non_transactional=True,
    statement_timeout_ms=3_600_000,
    timeout_reason="The check is validated beside the writers, on a table of any size.",
    test="services/metering/tests/test_metering_periods.py",
)

TABLE = """
    CREATE TABLE IF NOT EXISTS period_change (
        change_id bigint GENERATED ALWAYS AS IDENTITY,
        period text NOT NULL,
        org_id uuid,
        reopening integer NOT NULL,
        changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_period_change PRIMARY KEY (change_id),
        CONSTRAINT ck_period_change_period CHECK (period ~ '^[0-9]{4}-(0[1-9]|1[0-2])$'),
        CONSTRAINT ck_period_change_reopening CHECK (reopening = 0 OR (reopening > 0 AND org_id IS NOT NULL))
    )
"""
INDEX = "CREATE INDEX IF NOT EXISTS ix_period_change_period ON period_change (period, change_id)"

BEFORE = (
    "'UNKNOWN_ORG', 'UNKNOWN_SKU', 'NO_ENTITLEMENT', 'PERIOD_CLOSED', 'EVENT_IN_FUTURE', 'CORRECTION_BELOW_ZERO',"
    " 'PAYLOAD_MISMATCH', 'UNDECODABLE', 'PROCESSING_FAILED'"
)
REASONS = BEFORE.replace("'PAYLOAD", "'CORRECTION_EXCEEDS_CHARGED', 'PAYLOAD")


def upgrade() -> None:
    """Add the table, and the reason."""
    with op.get_context().autocommit_block():
        op.execute(TABLE)
        op.execute(INDEX)
    safe.grant("period_change", "SELECT, INSERT")
    safe.add_constraint_online("dead_letter", "ck_dead_letter_reason", f"CHECK (reason IN ({REASONS}))")


def downgrade() -> None:
    """Go back; refused by the check where a dead letter has the new reason."""
    safe.add_constraint_online("dead_letter", "ck_dead_letter_reason", f"CHECK (reason IN ({BEFORE}))")
    op.execute("DROP TABLE period_change")
