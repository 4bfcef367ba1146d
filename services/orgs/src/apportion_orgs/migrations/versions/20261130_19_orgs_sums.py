"""Orgs' sums: what lines add up to on an invoice has more digits than a line.

Why:        A sum was stored in the width of one of its parts, so an account with a few very large lines could not be
            billed: quantities and amounts of invoices get 29 integer digits, as the ledger's balances have.
Lock class: ACCESS EXCLUSIVE for an instant on invoice and what hangs on it: a wider
            numeric of the same scale is a matter of the catalog, so no row is read or written under it. The checks of
            the columns are proved beside the writers.
Reversible: Yes, as long as no sum is stored that the narrower columns cannot hold; then PostgreSQL refuses it. The
            tables are rewritten.
Pre-flight: None: every number that is there fits the wider column.
Again:      Each statement leads to the same however often it runs; the last transaction records the revision.
"""

from __future__ import annotations

from apportion_migrate import ops as safe
from apportion_migrate.revision import RevisionNotes

revision = "20261130_19_orgs_sums"
down_revision = "20261130_13_org_period_reopenings"
branch_labels = None
depends_on = None

NOTES = RevisionNotes(
    why="A sum of quantities or amounts on an invoice was stored in the width of one of its parts.",
    phase="expand",
    lock_class="exclusive-short",
    reversible=True,
    non_transactional=True,
    statement_timeout_ms=3_600_000,
    timeout_reason="The checks are validated beside the writers, on tables of any size.",
    test="services/orgs/tests/test_orgs_sums.py",
)

WIDE = "numeric(38, 9)"
NARROW = "numeric(27, 9)"

COLUMNS = {
    "invoice": ("ledger_total", "total"),
    "invoice_part": ("ledger_total", "part", "owner_pays", "org_pays"),
    "invoice_document": ("total",),
    "invoice_line": ("quantity", "gross", "partner_amount", "amount"),
}

CHECKS = {
    "invoice": {
        "ck_invoice_finite": "CHECK (ledger_total <> 'NaN'::numeric AND total <> 'NaN'::numeric)",
        "ck_invoice_rounding": "CHECK (rounding_difference = total - ledger_total)",
    },
    "invoice_part": {
        "ck_invoice_part_payers": "CHECK (part = owner_pays + org_pays)",
        "ck_invoice_part_finite": "CHECK (ledger_total <> 'NaN'::numeric AND part <> 'NaN'::numeric)",
    },
    "invoice_document": {"ck_invoice_document_finite": "CHECK (total <> 'NaN'::numeric)"},
    "invoice_line": {
        "ck_invoice_line_finite": (
            "CHECK (quantity <> 'NaN'::numeric AND gross <> 'NaN'::numeric"
            " AND partner_amount <> 'NaN'::numeric AND amount <> 'NaN'::numeric)"
        ),
        "ck_invoice_line_partner": (
            "CHECK (partner_id IS NOT NULL OR (partner_amount = 0 AND NOT partner_from_account))"
        ),
    },
}


def upgrade() -> None:
    """Widen the sums."""
    for table, columns in COLUMNS.items():
        safe.change_numeric_online(table, columns, CHECKS[table], WIDE)


def downgrade() -> None:
    """Narrow them, where they fit."""
    for table, columns in COLUMNS.items():
        safe.change_numeric_online(table, columns, CHECKS[table], NARROW)
