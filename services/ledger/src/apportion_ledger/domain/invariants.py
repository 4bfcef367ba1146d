"""What a check of the ledger's invariants finds."""

from __future__ import annotations

from typing import NamedTuple


class InvariantOutcome(NamedTuple):
    """One invariant: how many rows break it, and the ids of some."""

    name: str
    violation_count: int
    examples: tuple[str, ...]
