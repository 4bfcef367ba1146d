"""Billing accounts of organisations over time, as one revision of orgs knows them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

ALWAYS_US: Final = -(2**62)
FOREVER_US: Final = 2**62
"""Ends of an interval without bounds, beyond every instant that a message can hold."""

Need = tuple[bytes, int]
"""An organisation and an instant in microseconds."""


class BillingAccount(NamedTuple):
    """The account that an organisation is billed on, by which mapping, in which currency."""

    account_id: bytes
    mapping_id: bytes
    currency: str


class AccountInterval(NamedTuple):
    """What orgs says of an organisation for instants in [start_us, end_us), under one of its revisions."""

    start_us: int
    end_us: int
    org_known: bool
    account: BillingAccount | None


class OrgsAnswer(NamedTuple):
    """One answer of orgs: its revision, and an interval for each item asked."""

    revision: int
    intervals: Sequence[AccountInterval]


class AccountsView:
    """What is known under one revision of orgs. It only grows; another revision is another view."""

    def __init__(self, revision: int) -> None:
        """Begin with nothing known."""
        self.revision = revision
        self._intervals: dict[bytes, list[AccountInterval]] = {}

    def __len__(self) -> int:
        """Return the number of organisations that something is known of."""
        return len(self._intervals)

    def find(self, org_id: bytes, at_us: int) -> AccountInterval | None:
        """Return the interval of an organisation that holds at the instant, or None when it has not been asked for."""
        intervals = self._intervals.get(org_id)
        if intervals is None:
            return None
        index = bisect_right(intervals, at_us, key=lambda interval: interval.start_us)
        if index == 0 or intervals[index - 1].end_us <= at_us:
            return None
        return intervals[index - 1]

    def add(self, org_id: bytes, interval: AccountInterval) -> None:
        """Remember an interval; it is one that was not known."""
        intervals = self._intervals.setdefault(org_id, [])
        intervals.insert(bisect_right(intervals, interval.start_us, key=lambda known: known.start_us), interval)

    def missing(self, needs: Iterable[Need]) -> list[Need]:
        """Return one need of each organisation that the view cannot answer yet, the earliest, in a fixed order."""
        earliest: dict[bytes, int] = {}
        for org_id, at_us in needs:
            if self.find(org_id, at_us) is None and at_us < earliest.get(org_id, at_us + 1):
                earliest[org_id] = at_us
        return sorted(earliest.items())
