"""Which billing account an org maps to at an instant: half-open, one at a time (spec 05)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from apportion_orgs.domain.allocation import Allocation


@dataclass(frozen=True, slots=True)
class MappingRow:
    """An org on a billing account from `effective_at_us` on, until its next row. Ids are 16 bytes.

    `percent` (scaled int at 4 places) is the owner's part of a split, None otherwise.
    """

    mapping_id: bytes
    org_id: bytes
    account_id: bytes
    allocation: Allocation
    percent: int | None
    effective_at_us: int
    revision: int = 0


class MappingBook:
    """The mappings under one revision, answered from memory. Immutable: a new revision is a new book."""

    def __init__(self, rows: Sequence[MappingRow], known_revision: int | None = None) -> None:
        known = [row for row in rows if known_revision is None or row.revision <= known_revision]
        self._rows: dict[bytes, list[MappingRow]] = {}
        for row in sorted(known, key=lambda row: (row.effective_at_us, row.revision)):
            self._rows.setdefault(row.org_id, []).append(row)
        self._instants = {org: [row.effective_at_us for row in rows] for org, rows in self._rows.items()}

    def in_force(self, org_id: bytes, at_us: int) -> MappingRow | None:
        """The org's mapping at an instant (in microseconds since 1970); a row holds at its own. None before any."""
        instants = self._instants.get(org_id)
        if instants is None:
            return None
        index = bisect_right(instants, at_us)
        return self._rows[org_id][index - 1] if index else None


def declared_order(rows: Sequence[MappingRow], account_id: bytes) -> list[bytes]:
    """The orgs of an account in the order in which their first mapping rows to it were written: ties go by it."""
    ordered = sorted(enumerate(rows), key=lambda pair: (pair[1].revision, pair[0]))
    return list(dict.fromkeys(row.org_id for _, row in ordered if row.account_id == account_id))
