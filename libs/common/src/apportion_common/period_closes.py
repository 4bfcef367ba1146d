"""What is closed, after the closes and reopenings of periods in the order in which a lane has them.

The services that read the lanes fold the same entries, and so agree at every place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class PeriodChange(NamedTuple):
    """A period closes for one organisation or for all (None), or opens again for one."""

    period: str
    org_id: bytes | None
    reopening: int = 0
    """0 of a close; else the number of the organisation's reopening of the period."""


class PeriodCloses:
    """Which periods are closed; an organisation's own last change counts, or a later one of all."""

    def __init__(self, changes: Iterable[PeriodChange] = ()) -> None:
        """Begin with these changes, in their order."""
        self._of_all: set[str] = set()
        self._of_org: dict[tuple[str, bytes], bool] = {}
        self._reopenings: dict[tuple[str, bytes], int] = {}
        for change in changes:
            self.apply(change)

    def apply(self, change: PeriodChange) -> bool:
        """Apply a change that comes after all before; return whether it changed anything.

        A close of what is closed does not, nor does a reopening that is not newer than the organisation's last one.
        """
        period, org_id, reopening = change
        if org_id is None:
            open_again = [key for key, closed in self._of_org.items() if key[0] == period and not closed]
            changed = not reopening and bool(open_again or period not in self._of_all)
            if changed:
                self._of_all.add(period)
                self._of_org.update(dict.fromkeys(open_again, True))
            return changed
        key = period, org_id
        if not reopening:
            changed = not self.is_closed(period, org_id)
            self._of_org[key] = True
        else:
            changed = reopening > self._reopenings.get(key, 0)
            if changed:
                self._reopenings[key] = reopening
                self._of_org[key] = False
        return changed

    def is_closed(self, period: str, org_id: bytes) -> bool:
        """Return whether an organisation's period is closed."""
        own = self._of_org.get((period, org_id))
        return period in self._of_all if own is None else own

    def is_closed_for_all(self, period: str) -> bool:
        """Return whether a period was closed for all organisations; single ones may be open again."""
        return period in self._of_all

    def closed_singly(self, period: str) -> list[bytes]:
        """Return the organisations that have a period closed by a change of their own."""
        return sorted(org for (of, org), closed in self._of_org.items() if of == period and closed)

    def reopenings(self, period: str) -> dict[bytes, int]:
        """Return the number of the last reopening of each organisation that has any of a period."""
        return {org: number for (of, org), number in self._reopenings.items() if of == period}
