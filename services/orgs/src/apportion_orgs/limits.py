"""Every limit of the orgs service, with its unit in its name."""

from __future__ import annotations

from typing import Final

TREE_LEVELS_MAX: Final = 32
"""Levels below the root that an organisation may be at."""
TREE_ORGS_MAX: Final = 10_000
"""Organisations that GetTree returns; of a larger tree ListDescendants returns pages."""
HIERARCHY_EXAMPLES_MAX: Final = 20
"""Wrong pairs that CheckHierarchy names."""
HIERARCHY_CHECK_TIMEOUT_S: Final = 60
"""Time that the database has for CheckHierarchy; a hundred thousand organisations take about 3."""
ROOT_LOCK_ROUNDS_MAX: Final = 5
"""How often a tree may be moved away under a writer before it gives up."""

INVOICE_LINES_MAX: Final = 300_000
"""Sums of the ledger that one invoice is drawn from; some 300 MB of memory while it is drawn."""
INVOICE_CHUNK_LINES: Final = 10_000
"""Lines written or deleted by one statement."""
INVOICE_SHOWN_MAX: Final = 5_000
"""Parts, documents and lines each that an answer has beside an invoice, about 2.5 MiB together; pages list more."""
INVOICE_AMOUNT_MAX: Final = 2**63 * 10**9 - 1
"""Largest amount on an invoice, scaled by 9 places: what a Money holds. Quantities and gross are decimals beside it."""
INVOICE_ROUNDS_MAX: Final = 5
"""How often an invoice is drawn again because the account's other invoices changed meanwhile."""
INVOICE_PAUSE_S: Final = 60
"""Longest pause between two statements of a transaction that writes an invoice."""
FIX_WATERMARK_TIMEOUT_S: Final = 15
SUMMARIZE_LINES_TIMEOUT_S: Final = 45
REOPEN_PERIOD_TIMEOUT_S: Final = 10
