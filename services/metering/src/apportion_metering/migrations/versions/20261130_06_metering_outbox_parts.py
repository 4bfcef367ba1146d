"""Batches in parts: the lane outbox keeps a batch that is too large for one message as several.

Why:        A batch of the metering service can outgrow what a message may hold; each part is published on its own.
Lock class: ACCESS EXCLUSIVE for an instant on lane_outbox: once for two columns with constant defaults, once when the
            key that was built beside the writers takes the old one's place. No row is read or written under it.
Reversible: Yes, once no batch in parts is kept: the revision before could not publish it, so the way back refuses.
Pre-flight: None: every row that is there is part 0 of 1, so the new key holds where the old one did.
Again:      Until the last transaction everything can be begun again; that one swaps the keys and records the revision.
"""

from __future__ import annotations

from apportion_migrate import ops as safe
from apportion_migrate.revision import RevisionNotes

revision = "20261130_06_metering_outbox_parts"
down_revision = "20250920_04_metering_events"
branch_labels = None
depends_on = None

NOTES = RevisionNotes(
    why="A batch that is too large for one message is kept and published in parts.",
    phase="expand",
    lock_class="exclusive-short",
    reversible=True,
    non_transactional=True,
    statement_timeout_ms=600_000,
    timeout_reason="The key is built and the constraint validated beside the writers, on a backlog of any size.",
    test="tests/migrations/lanes/test_outbox_parts.py",
)


def upgrade() -> None:
    """Add the columns, their check and the wider key."""
    safe.add_lane_outbox_parts()


def downgrade() -> None:
    """Drop them, where no batch has parts."""
    safe.drop_lane_outbox_parts()
