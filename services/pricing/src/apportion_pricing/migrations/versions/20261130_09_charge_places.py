"""Charge places: a charge is known by its place, may come of something else than an event, and has no random key.

Why:        The close of a period makes charges that come of no event, one for each organisation, so several stand at
            one entry. And a key of random ids costs a quarter of what it takes the database to store a charge (6.0 µs
            as it is, 4.1 µs without), though nothing looks a charge up by its id: whoever reads charges reads them by
            lane and entry, which is the order in which they are rated.
Lock class: ACCESS EXCLUSIVE for an instant on charge: for two columns without rows to write, and when the key that was
            built beside the writers takes the old one's place. No row is read or written under it.
Reversible: Yes, as long as every charge comes of an event and is the only one of its kind at its entry; with others,
            which are never deleted, the way back refuses.
Pre-flight: None: every charge that is there has its event and is ordinal 0, so the new key holds where the old index
            did, and the new check where NOT NULL did.
Again:      Until the last transaction everything can be begun again; that one swaps the keys and records the revision.
"""

from __future__ import annotations

from alembic import op
from apportion_migrate import ops as safe
from apportion_migrate.revision import RevisionNotes

revision = "20261130_09_charge_places"
down_revision = "20261130_07_pricing_outbox_parts"
branch_labels = None
depends_on = None

NOTES = RevisionNotes(
    why="The close of a period makes charges without an event, several at one entry; the random key costs too much.",
    phase="expand",
    lock_class="exclusive-short",
    reversible=True,
    non_transactional=True,
    statement_timeout_ms=3_600_000,
    timeout_reason="The key is built and the check validated beside the writers, on a table of any size.",
    test="services/pricing/tests/test_pricing_charge_places.py",
)

COLUMNS = """
    ALTER TABLE charge
        ADD COLUMN IF NOT EXISTS cause_id uuid,
        ADD COLUMN IF NOT EXISTS ordinal integer NOT NULL DEFAULT 0
"""

# Older code writes an event with each charge and reads those alone; what writes others comes after this revision.
NO_EVENT = """
    -- squawk-ignore ban-drop-not-null
    ALTER TABLE charge ALTER COLUMN event_id DROP NOT NULL
"""

REFUSE = """
    DO $do$ BEGIN
        IF EXISTS (SELECT FROM charge WHERE event_id IS NULL OR ordinal > 0) THEN
            RAISE EXCEPTION 'charge holds charges without an event, which the revision before has no place for.'
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
    END $do$
"""


def upgrade() -> None:
    """Add the columns, let a charge be without an event, and make its place its key."""
    with op.get_context().autocommit_block():
        op.execute(COLUMNS)
    safe.add_constraint_online("charge", "ck_charge_cause", "CHECK (event_id IS NOT NULL OR cause_id IS NOT NULL)")
    safe.create_index_concurrently("uq_charge_place", "charge", "lane, seq, kind, ordinal", unique=True)
    # The wider index has every charge once already, and serves whoever reads by the narrower one.
    safe.drop_index_concurrently("ix_charge_lane")
    safe.replace_primary_key("charge", "uq_charge_place")
    op.execute(NO_EVENT)


def downgrade() -> None:
    """Make the id the key again, where every charge has an event."""
    op.execute(REFUSE)
    safe.set_not_null_online("charge", "event_id")
    safe.create_index_concurrently("ix_charge_lane", "charge", "lane, seq, kind", unique=True)
    safe.create_index_concurrently("uq_charge_id", "charge", "charge_id", unique=True)
    safe.replace_primary_key("charge", "uq_charge_id")
    op.execute("ALTER TABLE charge DROP COLUMN ordinal, DROP COLUMN cause_id")
