"""Which billing account an org maps to at an instant: half-open, one at a time (spec 05)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from apportion_common.errors import FailedPrecondition

from apportion_orgs.domain.allocation import Allocation
from apportion_orgs.domain.periods import period_of


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


def check_allocation(rows: Sequence[MappingRow], new: MappingRow) -> None:
    """Lets an org get the row `new` beside its `rows`, or refuses it (spec 08 choice 14).

    Within one account an org has one allocation and percent a period, so that its part of an invoice has one rule. A
    row in a period's middle may move it to another account, or repeat the terms that it has there already. Raises
    FailedPrecondition ALLOCATION_NOT_PERIOD_START.
    """
    ordered = sorted((*rows, new), key=lambda row: row.effective_at_us)
    periods: dict[int, list[MappingRow]] = {}
    for index, row in enumerate(ordered):
        start_us = period_of(row.effective_at_us).start_us
        if start_us not in periods:
            before = [ordered[index - 1]] if index and row.effective_at_us > start_us else []
            periods[start_us] = before
        periods[start_us].append(row)
    for held in periods.values():
        terms = {(row.allocation, row.percent) for row in held if row.account_id == new.account_id}
        if new in held and len(terms) > 1:
            raise FailedPrecondition(
                "ALLOCATION_NOT_PERIOD_START",
                "Within one billing account the allocation of an org changes only at the start of a period.",
                field="effective_at",
            )


def orgs_mapped_within(rows: Sequence[MappingRow], account_id: bytes, start_us: int, until_us: int) -> set[bytes]:
    """The orgs that are on an account at some instant of a half-open interval; `rows` has all rows of its orgs."""
    mapped: set[bytes] = set()
    by_org: dict[bytes, list[MappingRow]] = {}
    for row in sorted(rows, key=lambda row: row.effective_at_us):
        by_org.setdefault(row.org_id, []).append(row)
    for org_id, held in by_org.items():
        ends = [row.effective_at_us for row in held[1:]]
        for index, row in enumerate(held):
            end_us = ends[index] if index < len(ends) else until_us
            if row.account_id == account_id and row.effective_at_us < until_us and end_us > start_us:
                mapped.add(org_id)
    return mapped


def last_rows_before(rows: Sequence[MappingRow], account_id: bytes, until_us: int) -> dict[bytes, MappingRow]:
    """Each org's last row to an account that takes effect before an instant: its terms on an invoice up to there."""
    last: dict[bytes, MappingRow] = {}
    for row in sorted(rows, key=lambda row: row.effective_at_us):
        if row.account_id == account_id and row.effective_at_us < until_us:
            last[row.org_id] = row
    return last
