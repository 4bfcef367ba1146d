"""Late and taken back: charges billed in a later period, periods that open again, and what a position was charged.

Why:        Usage that comes after its month was closed is billed in an open one, a closed month can be opened again,
            and a correction takes back no more than was charged (spec 08 choices 15, 18 and 19).
Lock class: ACCESS EXCLUSIVE for an instant on charge, usage_position, period_close and charge_refusal: for columns
            without rows to write, for checks before they are validated, and when the key of period_close goes. No row
            is read or written under it.
Reversible: Yes, as long as no charge is billed later than it was used, no period was reopened or closed twice and no
            event was refused for the new reason; with these, which are never deleted, the way back refuses.
Pre-flight: None: the new columns are empty, the new reason is in no row, and each close has its own entry already.
Again:      Until the last transaction everything can be begun again; that one swaps the keys and records the revision.
Upgrade:    What positions were charged before is worked out when a correction first needs it. The code of before does
            not keep the sums that are there: end its replicas before those of this revision begin to rate.
"""

from __future__ import annotations

from alembic import op
from apportion_migrate import ops as safe
from apportion_migrate.revision import RevisionNotes

revision = "20261130_15_late_and_taken_back"
down_revision = "20261130_09_charge_places"
branch_labels = None
depends_on = None

NOTES = RevisionNotes(
    why="Late usage is billed in an open period, a period opens again, a correction takes back what was charged.",
    phase="expand",
    lock_class="exclusive-short",
    reversible=True,
    non_transactional=True,
    statement_timeout_ms=3_600_000,
    timeout_reason="The checks are validated beside the writers, on tables of any size.",
    test="services/pricing/tests/test_pricing_late_and_taken_back.py",
)

COLUMNS = (
    "ALTER TABLE charge ADD COLUMN IF NOT EXISTS billed_period text",
    """
    ALTER TABLE usage_position
        ADD COLUMN IF NOT EXISTS charged numeric,
        ADD COLUMN IF NOT EXISTS shadow_charged numeric
    """,
    "ALTER TABLE period_close ADD COLUMN IF NOT EXISTS reopening integer NOT NULL DEFAULT 0",
)

BEFORE = "'UNKNOWN_ORG', 'UNKNOWN_SKU', 'NO_ENTITLEMENT', 'PERIOD_CLOSED', 'CORRECTION_BELOW_ZERO', 'PROCESSING_FAILED'"
REASONS = BEFORE.replace("'PROCESSING", "'CORRECTION_EXCEEDS_CHARGED', 'PROCESSING")
CHECKS = {
    "charge": {
        "ck_charge_billed_period": "billed_period IS NULL"
        " OR (octet_length(billed_period) = 7 AND billed_period > period)"
    },
    "usage_position": {
        "ck_usage_position_charged": "charged <> 'NaN'",
        "ck_usage_position_shadow_charged": "shadow_charged <> 'NaN'",
    },
    "period_close": {"ck_period_close_reopening": "reopening = 0 OR (reopening > 0 AND org_id IS NOT NULL)"},
    "charge_refusal": {"ck_charge_refusal_reason": f"reason IN ({REASONS})"},
}

SETTLE = (
    "ALTER TABLE period_close ADD CONSTRAINT uq_period_close_lane_seq UNIQUE USING INDEX uq_period_close_lane_seq",
    """
    -- squawk-ignore ban-drop-constraint
    -- allow drop-constraint: writers insert with ON CONFLICT DO NOTHING, which names none
    ALTER TABLE period_close DROP CONSTRAINT uq_period_close_period_lane_org_id
    """,
)

REFUSE = """
    DO $do$ BEGIN
        IF EXISTS (SELECT FROM charge WHERE billed_period IS NOT NULL)
            OR EXISTS (SELECT FROM charge_refusal WHERE reason = 'CORRECTION_EXCEEDS_CHARGED')
            OR EXISTS (SELECT FROM period_close GROUP BY period, lane, org_id HAVING count(*) > 1 OR max(reopening) > 0)
        THEN
            RAISE EXCEPTION 'Late charges, reopened periods and refused corrections have no place before.'
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
    END $do$
"""


def upgrade() -> None:
    """Add the columns and checks, and let a period close and open more than once."""
    with op.get_context().autocommit_block():
        for statement in COLUMNS:
            op.execute(statement)
    for table, checks in CHECKS.items():
        for name, check in checks.items():
            safe.add_constraint_online(table, name, f"CHECK ({check})")
    safe.create_index_concurrently("uq_period_close_lane_seq", "period_close", "lane, seq", unique=True)
    for statement in SETTLE:
        op.execute(statement)


def downgrade() -> None:
    """Go back, where nothing is late, reopened or refused for what was taken back."""
    op.execute(REFUSE)
    safe.add_constraint_online("charge_refusal", "ck_charge_refusal_reason", f"CHECK (reason IN ({BEFORE}))")
    op.execute("ALTER TABLE charge DROP COLUMN billed_period")
    op.execute("ALTER TABLE usage_position DROP COLUMN charged, DROP COLUMN shadow_charged")
    op.execute(
        """
        ALTER TABLE period_close
            DROP CONSTRAINT uq_period_close_lane_seq,
            DROP COLUMN reopening,
            ADD CONSTRAINT uq_period_close_period_lane_org_id UNIQUE NULLS NOT DISTINCT (period, lane, org_id)
        """
    )
