"""Who is credited for a line and at which rate, as of its event's time (spec 02 rule 2, spec 08 choice 4).

Ids are 16 bytes, times microseconds since 1970 UTC, percentages scaled ints at 4 places, intervals half-open.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, TypeVar

from apportion_common.skus import SKU_TYPES, is_sku, sku_type_alike

from apportion_ledger.limits import TIMELINES_CACHED_MAX


class PorSubject(StrEnum):
    """What a partner of record is of."""

    ORG = "org"
    ACCOUNT = "billing_account"


class PorStatus(StrEnum):
    """A disputed partner of record still earns; its payouts are held."""

    ACTIVE = "active"
    EXPIRED = "expired"
    DISPUTED = "disputed"


class MatchKind(StrEnum):
    """What a commission rate matches, most exact first."""

    SKU = "sku"
    SKU_TYPE = "sku_type"
    DEFAULT = "default"


def match_fault(kind: MatchKind, value: str) -> str:
    """Return why no line can match a rate's value, as the end of a sentence; empty where one may."""
    if kind is MatchKind.DEFAULT:
        return "it is for all that no other rate of its tier is for" if value else ""
    if kind is MatchKind.SKU:
        return "" if is_sku(value) else "a SKU is written as ACT-EMAIL is"
    if value in SKU_TYPES:
        return ""
    alike = sku_type_alike(value)
    return f"a SKU type is one of {', '.join(SKU_TYPES)}" + (f"; write {alike}" if alike else "")


@dataclass(frozen=True, slots=True)
class PorRow:
    """A partner of record from `start_at_us` to `end_at_us` (None: open).

    Rows are appended: of those with the same `por_id` the one of the greatest revision counts, so that ending or
    disputing an interval is a further row.
    """

    por_id: bytes
    subject_kind: PorSubject
    subject_id: bytes
    partner_id: bytes
    start_at_us: int
    end_at_us: int | None
    status: PorStatus = PorStatus.ACTIVE
    revision: int = 0


@dataclass(frozen=True, slots=True)
class PartnerTierRow:
    """The tier of a partner from `effective_at_us` on."""

    partner_id: bytes
    tier: str
    effective_at_us: int
    revision: int = 0


@dataclass(frozen=True, slots=True)
class RateRow:
    """The rate of a tier from `effective_at_us` on; `match_value` is empty for the default."""

    tier: str
    match_kind: MatchKind
    match_value: str
    pct: int
    effective_at_us: int
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Attribution:
    """Partner and rate of a line with the rows they came from. Without a partner `pct` is 0 and all else None."""

    partner_id: bytes | None = None
    pct: int = 0
    tier: str | None = None
    disputed: bool = False
    por_subject: PorSubject | None = None
    por_id: bytes | None = None
    por_revision: int | None = None
    tier_revision: int | None = None
    rate_kind: MatchKind | None = None
    rate_revision: int | None = None


NO_PARTNER: Final = Attribution()


class _Dated(Protocol):
    @property
    def effective_at_us(self) -> int: ...


_Row = TypeVar("_Row", bound=_Dated)
_Key = tuple[bytes, bytes | None, str, str]
Timeline = tuple[list[int], list[Attribution]]
"""Instants at which the outcome changes, rising, and one outcome more than these."""
_Rates = dict[tuple[str, MatchKind, str], list[RateRow]]


class AttributionIndex:
    """Attribution under one ledger revision, held in memory. Immutable: a new revision is a new index.

    `known_revision` leaves out rows of a greater revision, so that a replay decides as was known then.
    """

    def __init__(
        self,
        pors: Sequence[PorRow],
        tiers: Sequence[PartnerTierRow],
        rates: Sequence[RateRow],
        known_revision: int | None = None,
    ) -> None:
        def visible(revision: int) -> bool:
            return known_revision is None or revision <= known_revision

        latest: dict[bytes, PorRow] = {}
        for por in sorted((row for row in pors if visible(row.revision)), key=lambda row: row.revision):
            latest[por.por_id] = por
        self._pors: dict[tuple[PorSubject, bytes], list[PorRow]] = defaultdict(list)
        for por in sorted(latest.values(), key=lambda row: row.start_at_us):
            self._pors[por.subject_kind, por.subject_id].append(por)
        self._tiers: dict[bytes, list[PartnerTierRow]] = defaultdict(list)
        for tier in sorted(tiers, key=lambda row: (row.effective_at_us, row.revision)):
            if visible(tier.revision):
                self._tiers[tier.partner_id].append(tier)
        self._rates: _Rates = defaultdict(list)
        for rate in sorted(rates, key=lambda row: (row.effective_at_us, row.revision)):
            if visible(rate.revision):
                self._rates[rate.tier, rate.match_kind, rate.match_value].append(rate)
        self._timelines: dict[_Key, Timeline] = {}

    def attribute(self, org_id: bytes, account_id: bytes | None, sku: str, sku_type: str, at_us: int) -> Attribution:
        """Return partner and rate of a line of `org_id` on billing account `account_id` whose event was at `at_us`.

        The account's partner of record counts before the org's own. Exact SKU, then SKU type, then the tier's default;
        an exact 0 % does not fall through, and without a matching rate the partner stays with 0 %.
        """
        instants, outcomes = self.timeline(org_id, account_id, sku, sku_type)
        return outcomes[bisect_right(instants, at_us)]

    def timeline(self, org_id: bytes, account_id: bytes | None, sku: str, sku_type: str) -> Timeline:
        """Return what `attribute` answers for all instants: those at which it changes, and the outcome before, between
        and after them; `outcomes[bisect_right(instants, at_us)]` is that of an instant.
        """
        key = (org_id, account_id, sku, sku_type)
        return self._timelines.get(key) or self._build(key)

    def partner_of(self, kind: PorSubject, subject_id: bytes, at_us: int) -> PorRow | None:
        """Return the partner of record of one subject at an instant, or None."""
        rows = self._pors.get((kind, subject_id), ())
        index = bisect_right(rows, at_us, key=lambda row: row.start_at_us)
        if not index:
            return None
        row = rows[index - 1]
        return row if row.end_at_us is None or at_us < row.end_at_us else None

    def tier_of(self, partner_id: bytes, at_us: int) -> str | None:
        """Return the tier of a partner at an instant, or None before its first."""
        row = _in_force(self._tiers.get(partner_id, ()), at_us)
        return row.tier if row else None

    def _build(self, key: _Key) -> Timeline:
        org_id, account_id, sku, sku_type = key
        pors = list(self._pors.get((PorSubject.ORG, org_id), ()))
        if account_id is not None:
            pors += self._pors.get((PorSubject.ACCOUNT, account_id), ())
        changes: set[int] = set()
        for por in pors:
            changes.add(por.start_at_us)
            if por.end_at_us is not None:
                changes.add(por.end_at_us)
            for tier in self._tiers.get(por.partner_id, ()):
                changes.add(tier.effective_at_us)
                for match in _matches(sku, sku_type):
                    changes.update(rate.effective_at_us for rate in self._rates.get((tier.tier, *match), ()))
        instants = sorted(changes)
        outcomes = [NO_PARTNER, *(self._decide(org_id, account_id, sku, sku_type, at) for at in instants)]
        if len(self._timelines) >= TIMELINES_CACHED_MAX:
            self._timelines.clear()
        self._timelines[key] = instants, outcomes
        return instants, outcomes

    def _decide(self, org_id: bytes, account_id: bytes | None, sku: str, sku_type: str, at_us: int) -> Attribution:
        por = self.partner_of(PorSubject.ACCOUNT, account_id, at_us) if account_id is not None else None
        por = por or self.partner_of(PorSubject.ORG, org_id, at_us)
        if por is None:
            return NO_PARTNER
        tier = _in_force(self._tiers.get(por.partner_id, ()), at_us)
        rate = None
        if tier is not None:
            for match in _matches(sku, sku_type):
                rate = _in_force(self._rates.get((tier.tier, *match), ()), at_us)
                if rate is not None:
                    break
        return Attribution(
            partner_id=por.partner_id,
            pct=rate.pct if rate else 0,
            tier=tier.tier if tier else None,
            disputed=por.status is PorStatus.DISPUTED,
            por_subject=por.subject_kind,
            por_id=por.por_id,
            por_revision=por.revision,
            tier_revision=tier.revision if tier else None,
            rate_kind=rate.match_kind if rate else None,
            rate_revision=rate.revision if rate else None,
        )


def _matches(sku: str, sku_type: str) -> tuple[tuple[MatchKind, str], ...]:
    return (MatchKind.SKU, sku), (MatchKind.SKU_TYPE, sku_type), (MatchKind.DEFAULT, "")


def _in_force(rows: Sequence[_Row], at_us: int) -> _Row | None:
    index = bisect_right(rows, at_us, key=lambda row: row.effective_at_us)
    return rows[index - 1] if index else None
