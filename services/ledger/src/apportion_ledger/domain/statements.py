"""What a partner earned, was paid and is owed, and the trial balance (spec 02 rule 9)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple


class CurrencyTotals(NamedTuple):
    """A partner's lines and payouts of one currency within a span of days."""

    currency: str
    opening: int
    earned: int
    clawed_back: int
    paid_real_time: int
    paid_sweep: int
    line_count: int
    real_time_count: int


class TrialRow(NamedTuple):
    """The postings of one account and currency, summed."""

    account: str
    currency: str
    debit: int
    credit: int


def closing_balance(totals: CurrencyTotals) -> int:
    """Return what is owed to the partner at the end of the span."""
    return totals.opening + totals.earned - totals.clawed_back - totals.paid_real_time - totals.paid_sweep


def is_balanced(rows: Iterable[TrialRow]) -> bool:
    """Return whether debit and credit of each currency are equal."""
    sums: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        sums[row.currency] += row.debit - row.credit
    return not any(sums.values())
