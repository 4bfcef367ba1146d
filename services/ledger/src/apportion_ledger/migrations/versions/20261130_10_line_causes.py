"""Line causes: a line may come of something else than an event, and costs the database less to store.

Why:        The close of a period makes lines that come of no event. And a part of what it takes to store a line serves
            nothing that cannot be had otherwise: two regular expressions, and an index of the partner, whose lines the
            indexes of organisation and account find by way of the partners of record.
Measured:   Server processor time a row, binary COPY of 800 rows a transaction, PostgreSQL 18, variants interleaved.
            Checks, without any index: all as they were 4.15 µs; without the two regular expressions 3.43, with a length
            in their place 3.48, the cause 0.03 more; all other checks together 0.5, so they stay. Indexes, on 560,000
            lines of a loaded machine, lower quartile (µs, and bytes of WAL): all 16.2 and 873; without that of the
            partner 13.7 and 803; without that of the account 13.1 and 758, of the organisation 13.1 and 746, without
            the key of random ids 10.3 and 664. Those three stay: nothing else finds an account's lines for an invoice,
            an organisation's, or one line by its id. The partner's is not built for past months either: a build holds
            its transaction open for longer than FixWatermark waits, in the very hours in which invoices are made.
Lock class: ACCESS EXCLUSIVE for an instant on ledger_line and its partitions: for a column without rows to write, for
            checks before they are validated, and when the index goes, which of a partitioned table cannot be dropped
            beside its readers. No row is read or written under it.
Reversible: Yes, as long as every line comes of an event; with others, which are never deleted, the way back refuses.
            The index is built while the writers wait, as PostgreSQL cannot build it otherwise on a partitioned table.
Pre-flight: None: the old checks let nothing in that the new ones refuse.
Again:      Until the last transaction everything can be begun again; that one drops the index and records the revision.
"""

from __future__ import annotations

from alembic import op
from apportion_migrate import ops as safe
from apportion_migrate.revision import RevisionNotes

revision = "20261130_10_line_causes"
down_revision = "20261130_08_ledger_outbox_parts"
branch_labels = None
depends_on = None

NOTES = RevisionNotes(
    why="The close of a period makes lines without an event; two regular expressions and an index cost too much.",
    phase="expand",
    lock_class="exclusive-short",
    reversible=True,
    non_transactional=True,
    statement_timeout_ms=3_600_000,
    timeout_reason="The checks are validated beside the writers, on tables of any size.",
    test="services/ledger/tests/test_ledger_line_causes.py",
)

CHECKS = {
    "ck_ledger_line_cause": "CHECK (event_id IS NOT NULL OR cause_id IS NOT NULL)",
    "ck_ledger_line_currency": "CHECK (octet_length(currency) = 3)",
    "ck_ledger_line_period": "CHECK (octet_length(period) = 7)",
}

CHECKS_BEFORE = {
    "ck_ledger_line_currency": "CHECK (currency ~ '^[A-Z]{3}$')",
    "ck_ledger_line_period": "CHECK (period ~ '^[0-9]{4}-[0-9]{2}$')",
}

SETTLE = (
    # Older code writes an event with each line and reads those alone; what writes others comes after this revision.
    """
    -- squawk-ignore ban-drop-not-null
    ALTER TABLE ledger_line ALTER COLUMN event_id DROP NOT NULL
    """,
    # An index of a partitioned table goes under its lock or not at all; that reads nothing.
    """
    -- squawk-ignore require-concurrent-index-deletion
    DROP INDEX ix_ledger_line_partner_id_event_time
    """,
)

REFUSE = """
    DO $do$ BEGIN
        IF EXISTS (SELECT FROM ledger_line WHERE event_id IS NULL) THEN
            RAISE EXCEPTION 'ledger_line holds lines without an event, which the revision before has no place for.'
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
    END $do$
"""

RESTORE = (
    """
    CREATE INDEX ix_ledger_line_partner_id_event_time ON ledger_line (partner_id, event_time)
        WHERE partner_id IS NOT NULL
    """,
    "ALTER TABLE ledger_line DROP COLUMN cause_id",
)


def upgrade() -> None:
    """Add the cause, exchange the checks, drop the index of the partner."""
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE ledger_line ADD COLUMN IF NOT EXISTS cause_id uuid")
    for name, definition in CHECKS.items():
        safe.add_constraint_online("ledger_line", name, definition)
    for statement in SETTLE:
        op.execute(statement)


def downgrade() -> None:
    """Go back, where every line has an event."""
    op.execute(REFUSE)
    safe.set_not_null_online("ledger_line", "event_id")
    for name, definition in CHECKS_BEFORE.items():
        safe.add_constraint_online("ledger_line", name, definition)
    for statement in RESTORE:
        op.execute(statement)
