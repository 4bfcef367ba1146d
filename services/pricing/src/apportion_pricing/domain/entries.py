"""The entries of an accepted batch, as plain tuples: nothing is made per event that the loop does not need."""

from __future__ import annotations

from typing import NamedTuple

from apportion_common.period_closes import PeriodChange

Usage = tuple[int, bytes, bytes, bytes, str, int, int]
"""entry_seq, event id, organisation, project (or no bytes), SKU, quantity scaled by 9 places, event time in
microseconds."""


class Close(NamedTuple):
    """A control entry: from its place on a period is closed, or open again."""

    entry_seq: int
    change: PeriodChange
