"""Which billing account an org maps to at an instant: half-open, one at a time (spec 05)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from apportion_common.periods import period_of

from apportion_orgs.domain.allocation import Allocation
from apportion_orgs.errors import allocation_not_period_start


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


@dataclass(frozen=True, slots=True)
class BillingMapping:
    """A mapping as it is stored; `percent` is scaled by 4 places."""

    mapping_id: UUID
    org_id: UUID
    account_id: UUID
    allocation: Allocation
    percent: int | None
    effective_at_us: int
    revision: int
    declared_order: int

    def row(self) -> MappingRow:
        """Return the row as the rules take it."""
        return MappingRow(
            self.mapping_id.bytes,
            self.org_id.bytes,
            self.account_id.bytes,
            self.allocation,
            self.percent,
            self.effective_at_us,
            self.revision,
        )


class ResolvedAccount(NamedTuple):
    """The answer for one (organisation, instant); ids as text, instants in microseconds, None for open ends."""

    org_known: bool
    mapping_id: str | None
    account_id: str | None
    currency: str | None
    valid_from_us: int | None
    valid_until_us: int | None


def declared_order(rows: Sequence[MappingRow], account_id: bytes) -> list[bytes]:
    """Return the orgs of an account by when their first mapping rows to it were written; ties go by this order."""
    ordered = sorted(enumerate(rows), key=lambda pair: (pair[1].revision, pair[0]))
    return list(dict.fromkeys(row.org_id for _, row in ordered if row.account_id == account_id))


def check_allocation(rows: Sequence[MappingRow], new: MappingRow) -> None:
    """Raise FailedPrecondition ALLOCATION_NOT_PERIOD_START unless an org may get the row `new` beside its `rows`.

    Within one account an org has one allocation and percent a period (spec 08 choice 14). A row in a period's
    middle may move it to another account, or repeat the terms that it has there already.
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
            raise allocation_not_period_start()


def orgs_mapped_within(rows: Sequence[MappingRow], account_id: bytes, start_us: int, until_us: int) -> set[bytes]:
    """Return the orgs on an account at some instant of a half-open interval; `rows` has all rows of its orgs."""
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
