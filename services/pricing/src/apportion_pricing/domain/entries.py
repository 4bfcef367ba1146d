"""The entries of an accepted batch, as plain tuples: nothing is made per event that the loop does not need."""

from __future__ import annotations

from typing import NamedTuple

Usage = tuple[int, bytes, bytes, bytes, str, int, int]
"""entry_seq, event id, organisation, project (or no bytes), SKU, quantity scaled by 9 places, event time in
microseconds."""


class Close(NamedTuple):
    """A control entry: from its place on, events of the period are rejected, of one organisation or of all (None)."""

    entry_seq: int
    period: str
    org_id: bytes | None
