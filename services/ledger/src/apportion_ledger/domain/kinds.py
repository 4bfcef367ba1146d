"""Kinds of lines (spec 02, ledger lines)."""

from __future__ import annotations

from typing import Final

USAGE: Final = "usage"
PRICED_KINDS: Final = (USAGE, "rerate", "base", "minimum")
"""Kinds that a price makes. They have a share at the partner's rate, may be paid at once, and are in digests."""
LINE_KINDS: Final = (*PRICED_KINDS, "adjustment", "reversal")
