"""Resolution of effective terms as of an event's time, made for a hot loop.

Value by value: the org's override, else the billing account's default, else the plan's row (spec 08 choice 5).
Included quantity and thresholds are those of the period's *structure instant*, prices those of the event's time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from apportion_pricing.domain.charge_models import MODELS
from apportion_pricing.domain.charge_models.model import ChargeModel
from apportion_pricing.domain.rejections import RejectionReason
from apportion_pricing.domain.terms import (
    AssignmentRow,
    EntitlementRow,
    Override,
    PlanSkuRow,
    SkuTerms,
    Source,
    SourceKind,
    SubjectKind,
    TermsRows,
)
from apportion_pricing.domain.tiers import NO_TIERS, Tiers
from apportion_pricing.limits import CACHED_TIMELINES_MAX


@dataclass(frozen=True, slots=True)
class RateTerms:
    """What an event is rated by, and the sources of each value."""

    plan_id: bytes
    currency: str
    sku_type: str
    values: SkuTerms
    included_source: Source
    price_source: Source
    tiers_source: Source
    model: ChargeModel[Any, Any] = field(repr=False)
    table: Any = field(repr=False)
    """The values as the model's `increment` takes them."""


Outcome = RateTerms | RejectionReason


class _Dated(Protocol):
    @property
    def effective_at_us(self) -> int: ...
    @property
    def revision(self) -> int: ...


_Row = TypeVar("_Row", bound=_Dated)
_Key = tuple[bytes, bytes | None, bytes | None, str, int]
_Timeline = tuple[list[int], list[Outcome]]


class TermsIndex:
    """Terms of one catalog revision, answered from memory. Immutable: a new revision is a new index.

    `known_revision` leaves out rows of a greater revision, so that a replay decides as was known then.
    """

    def __init__(self, rows: TermsRows, known_revision: int | None = None) -> None:
        def known(items: Sequence[_Row]) -> list[_Row]:
            kept = [row for row in items if known_revision is None or row.revision <= known_revision]
            return sorted(kept, key=lambda row: (row.effective_at_us, row.revision))

        def visible(revision: int) -> bool:
            return known_revision is None or revision <= known_revision

        self._sku_types = {row.sku: row.sku_type for row in rows.skus if visible(row.revision)}
        self._currencies = {row.plan_id: row.currency for row in rows.plans if visible(row.revision)}
        self._plan_skus: dict[tuple[bytes, str], list[PlanSkuRow]] = defaultdict(list)
        for plan_sku in known(rows.plan_skus):
            self._plan_skus[plan_sku.plan_id, plan_sku.sku].append(plan_sku)
        self._assignments: dict[bytes, list[AssignmentRow]] = defaultdict(list)
        for assignment in known(rows.assignments):
            self._assignments[assignment.org_id].append(assignment)
        self._entitlements: dict[tuple[SubjectKind, bytes], list[EntitlementRow]] = defaultdict(list)
        for entitlement in known(rows.entitlements):
            self._entitlements[entitlement.subject_kind, entitlement.subject_id].append(entitlement)
        self._timelines: dict[_Key, _Timeline] = {}

    def segment(
        self,
        org_id: bytes,
        account_id: bytes | None,
        structure_account_id: bytes | None,
        sku: str,
        at_us: int,
        period_start_us: int,
    ) -> tuple[Outcome, int | None, int | None]:
        """Return the terms for an event of `org_id` and `sku` at `at_us`, in the period from `period_start_us`.

        UNKNOWN_SKU or NO_ENTITLEMENT where there are none. `account_id` is the org's billing account at the event,
        `structure_account_id` the one at `structure_instant`: its included quantity and thresholds hold for the
        period, also after a re-mapping (spec 08 choice 6). With the terms come the first instant of the same answer
        and the first one after it (None: no such bound), for the accounts and the period given, so that a loop
        resolves once for many events.
        """
        key = (org_id, account_id, structure_account_id, sku, period_start_us)
        timeline = self._timelines.get(key)
        if timeline is None:
            timeline = self._build(key)
        instants, outcomes = timeline
        index = bisect_right(instants, at_us)
        start = instants[index - 1] if index else None
        return outcomes[index], start, instants[index] if index < len(instants) else None

    def structure_instant(self, org_id: bytes, period_start_us: int) -> int | None:
        """Return when the period's structure is fixed: its start, or the org's first assignment if later."""
        rows = self._assignments.get(org_id)
        return max(period_start_us, rows[0].effective_at_us) if rows else None

    def plan_of(self, org_id: bytes, at_us: int) -> bytes | None:
        """Return the plan that the org has at an instant, or None."""
        row = in_force(self._assignments.get(org_id, ()), at_us)
        return row.plan_id if row else None

    def _build(self, key: _Key) -> _Timeline:
        org_id, account_id, structure_account_id, sku, period_start_us = key
        dated: list[Iterable[_Dated]] = [self._assignments.get(org_id, ()), self._overriding(SubjectKind.ORG, org_id)]
        if account_id is not None:
            dated.append(self._overriding(SubjectKind.ACCOUNT, account_id))
        dated.extend(
            self._plan_skus.get((assignment.plan_id, sku), ())
            for assignment in self._assignments.get(org_id, ())
            if assignment.plan_id is not None
        )
        instants = sorted({row.effective_at_us for rows in dated for row in rows})
        outcomes: list[Outcome] = [
            RejectionReason.NO_ENTITLEMENT if sku in self._sku_types else RejectionReason.UNKNOWN_SKU
        ]
        outcomes += [
            self._resolve(org_id, account_id, structure_account_id, sku, at, period_start_us) for at in instants
        ]
        if len(self._timelines) >= CACHED_TIMELINES_MAX:
            self._timelines.clear()
        self._timelines[key] = instants, outcomes
        return instants, outcomes

    def _resolve(
        self,
        org_id: bytes,
        account_id: bytes | None,
        structure_account_id: bytes | None,
        sku: str,
        at_us: int,
        period_start_us: int,
    ) -> Outcome:
        sku_type = self._sku_types.get(sku)
        if sku_type is None:
            return RejectionReason.UNKNOWN_SKU
        fixed_at = self.structure_instant(org_id, period_start_us)
        if fixed_at is None or at_us < self._assignments[org_id][0].effective_at_us:
            return RejectionReason.NO_ENTITLEMENT
        plan_id = self.plan_of(org_id, max(at_us, fixed_at))
        if plan_id is None:
            return RejectionReason.NO_ENTITLEMENT
        fixed_row = in_force(self._plan_skus.get((plan_id, sku), ()), fixed_at)
        if fixed_row is None:
            return RejectionReason.NO_ENTITLEMENT
        # A segment may begin before the period and before the row: it is then evaluated at its beginning, and none of
        # its events before the row belong to this period.
        priced_row = in_force(self._plan_skus[plan_id, sku], at_us) or fixed_row
        fixed = self._overrides(org_id, structure_account_id, plan_id, sku, fixed_at)
        priced = self._overrides(org_id, account_id, plan_id, sku, at_us)

        included, included_source = fixed_row.included, Source(SourceKind.PLAN, fixed_row.revision)
        for source, override in fixed:
            if override.included is not None:
                included, included_source = override.included, source
                break
        price, price_source = priced_row.overage_price, Source(SourceKind.PLAN, priced_row.revision)
        for source, override in priced:
            if override.overage_price is not None:
                price, price_source = override.overage_price, source
                break
        tiers, tiers_source = NO_TIERS, Source(SourceKind.PLAN, fixed_row.revision)
        model = MODELS[fixed_row.charge_model]
        if model.tiered:
            tiers, tiers_source = _tiers_of(fixed, fixed_row)
            now, now_source = _tiers_of(priced, priced_row)
            if now.thresholds == tiers.thresholds:
                tiers, tiers_source = now, now_source
        values = SkuTerms(model.name, included, price, tiers)
        return RateTerms(
            plan_id=plan_id,
            currency=self._currencies[plan_id],
            sku_type=sku_type,
            values=values,
            included_source=included_source,
            price_source=price_source,
            tiers_source=tiers_source,
            model=model,
            table=model.table(values),
        )

    def _overriding(self, kind: SubjectKind, subject_id: bytes) -> Sequence[EntitlementRow]:
        return self._entitlements.get((kind, subject_id), ())

    def _overrides(
        self, org_id: bytes, account_id: bytes | None, plan_id: bytes, sku: str, at_us: int
    ) -> list[tuple[Source, Override]]:
        """Return what the org's row and the account's row in force say about the SKU, strongest first."""
        subjects = [(SourceKind.ORG, self._overriding(SubjectKind.ORG, org_id))]
        if account_id is not None:
            subjects.append((SourceKind.ACCOUNT, self._overriding(SubjectKind.ACCOUNT, account_id)))
        found = []
        for kind, rows in subjects:
            row = in_force(rows, at_us)
            if row is not None and row.plan_id in (None, plan_id) and sku in row.overrides:
                found.append((Source(kind, row.revision), row.overrides[sku]))
        return found


def in_force(rows: Sequence[_Row], at_us: int) -> _Row | None:
    """Return the last of `rows`, sorted by (effective_at_us, revision), that holds at the instant.

    A row holds at its own instant.
    """
    index = bisect_right(rows, at_us, key=lambda row: row.effective_at_us)
    return rows[index - 1] if index else None


def _tiers_of(overrides: Sequence[tuple[Source, Override]], row: PlanSkuRow) -> tuple[Tiers, Source]:
    for source, override in overrides:
        if override.tiers is not None:
            return override.tiers, source
    return row.tiers, Source(SourceKind.PLAN, row.revision)
