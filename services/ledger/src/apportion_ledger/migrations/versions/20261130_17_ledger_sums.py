"""Ledger's sums: what a sweep pays has more digits than a line.

Why:        A sweep pays what lines add up to, in the width of one line: one partner's balance of 10^18 stopped the
            sweeps of all partners. What is paid out gets 29 integer digits, as balances have.
Lock class: ACCESS EXCLUSIVE for an instant on sweep_claim, payout_instruction, settlement and its two views: a wider
            numeric of the same scale is a matter of the catalog, so no row is read or written under it. The checks of
            the columns are proved beside the writers.
Reversible: Yes, as long as no sum is stored that the narrower columns cannot hold; then PostgreSQL refuses it. The
            tables are rewritten.
Pre-flight: None: every number that is there fits the wider column.
Again:      Each statement leads to the same however often it runs; the last transaction records the revision.
"""

from __future__ import annotations

from alembic import op
from apportion_migrate import ops as safe
from apportion_migrate.revision import RevisionNotes

revision = "20261130_17_ledger_sums"
down_revision = "20261130_16_period_reopenings"
branch_labels = None
depends_on = None

NOTES = RevisionNotes(
    why="A payout of what lines add up to was stored in the width of one line.",
    phase="expand",
    lock_class="exclusive-short",
    reversible=True,
    non_transactional=True,
    statement_timeout_ms=3_600_000,
    timeout_reason="The checks are validated beside the writers, on tables of any size.",
    test="services/ledger/tests/test_ledger_sums.py",
)

WIDE = "numeric(38, 9)"
NARROW = "numeric(27, 9)"

CLAIM_CHECKS = {
    "ck_sweep_claim_paid": "CHECK (paid >= 0 AND paid <> 'NaN'::numeric)",
    "ck_sweep_claim_settlement": "CHECK ((paid > 0) = (settlement_id IS NOT NULL))",
    "ck_sweep_claim_balance": "CHECK (paid = 0 OR paid <= balance)",
}
SETTLEMENT_CHECKS = {"ck_settlement_amount": "CHECK (amount > 0 AND amount <> 'NaN'::numeric)"}

# A column that a view reads changes its type only without the view: both are made again as they were.
BESIDE_VIEWS = """
    DO $do$
    DECLARE
        of_posting text := pg_get_viewdef('posting'::regclass);
        of_line_view text := pg_get_viewdef('line_view'::regclass);
    BEGIN
        DROP VIEW posting;
        DROP VIEW line_view;
        {change};
        EXECUTE 'CREATE VIEW posting AS ' || of_posting;
        EXECUTE 'CREATE VIEW line_view AS ' || of_line_view;
        REVOKE ALL ON TABLE posting, line_view FROM PUBLIC, {role};
        GRANT SELECT ON TABLE posting, line_view TO {role};
    END
    $do$
"""


def change_to(numeric: str) -> None:
    """Give the columns of what is paid out another precision."""
    safe.change_numeric_online("sweep_claim", ("paid",), CLAIM_CHECKS, numeric)
    safe.change_numeric_online("payout_instruction", ("amount",), {}, numeric)
    change = safe.numeric_change("settlement", ("amount",), SETTLEMENT_CHECKS, numeric)
    with op.get_context().autocommit_block():
        op.execute(BESIDE_VIEWS.format(change=change, role=safe.app_role()))
        op.execute("ALTER TABLE settlement VALIDATE CONSTRAINT ck_settlement_amount")


def upgrade() -> None:
    """Widen what is paid out."""
    change_to(WIDE)


def downgrade() -> None:
    """Narrow it, where it fits."""
    change_to(NARROW)
