"""Pricing's sums: what the events of a period add up to has more digits than an event.

Why:        The usage of a period was stored in the width of one event, so a second very large event of a month could
            not be rated: positions get 29 integer digits.
Lock class: ACCESS EXCLUSIVE for an instant on usage_position, charge and parity_result: a wider
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

revision = "20261130_18_pricing_sums"
down_revision = "20261130_15_late_and_taken_back"
branch_labels = None
depends_on = None

NOTES = RevisionNotes(
    why="The usage of a period was stored in the width of one event.",
    phase="expand",
    lock_class="exclusive-short",
    reversible=True,
    non_transactional=True,
    statement_timeout_ms=3_600_000,
    timeout_reason="The checks are validated beside the writers, on tables of any size.",
    test="services/pricing/tests/test_pricing_sums.py",
)

WIDE = "numeric(38, 9)"
NARROW = "numeric(27, 9)"

COLUMNS = {
    "usage_position": ("quantity",),
    "charge": ("quantity_before",),
    "parity_result": ("estimated", "rated"),
}

CHECKS = {
    "usage_position": {"ck_usage_position_quantity": "CHECK (quantity >= 0 AND quantity < 'NaN')"},
    "charge": {"ck_charge_quantity_before": "CHECK (quantity_before >= 0 AND quantity_before < 'NaN')"},
    "parity_result": {
        "ck_parity_result_estimated": "CHECK (estimated <> 'NaN')",
        "ck_parity_result_rated": "CHECK (rated <> 'NaN')",
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
