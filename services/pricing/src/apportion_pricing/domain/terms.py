"""The rows that terms are made of, append-only, and the values of one SKU that they come to.

Ids are 16 bytes, times are microseconds since 1970 UTC, quantities are scaled ints at 9 places, prices at 12. Of the
rows of one subject the one in force at an instant is that with the greatest (effective_at_us, revision) not after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from apportion_common.decimals import PRICE_PLACES, QUANTITY_PLACES, format_scaled

from apportion_pricing.domain.tiers import NO_TIERS, Tiers, parse_included, parse_price, parse_tiers


class SubjectKind(StrEnum):
    """Whose entitlement row it is; an org's is stronger than its billing account's."""

    ORG = "org"
    ACCOUNT = "account"


class SourceKind(StrEnum):
    """Where a value of the effective terms came from, strongest first."""

    ORG = "org"
    ACCOUNT = "account"
    PLAN = "plan"


@dataclass(frozen=True, slots=True)
class SkuRow:
    """A SKU of the catalog: its type is hosting, object, validation, action or analytics."""

    sku: str
    sku_type: str
    revision: int = 0


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A plan and the currency of all its prices."""

    plan_id: bytes
    currency: str
    revision: int = 0


@dataclass(frozen=True, slots=True)
class PlanSkuRow:
    """A whole row of a plan for one SKU, from `effective_at_us` until a later one."""

    plan_id: bytes
    sku: str
    charge_model: str
    included: int
    overage_price: int
    tiers: Tiers
    effective_at_us: int
    revision: int = 0

    @property
    def values(self) -> SkuTerms:
        """The values that the row has for its SKU."""
        return SkuTerms(self.charge_model, self.included, self.overage_price, self.tiers)


@dataclass(frozen=True, slots=True)
class AssignmentRow:
    """The plan an org has from `effective_at_us` on; None takes its plan away."""

    org_id: bytes
    plan_id: bytes | None
    effective_at_us: int
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Override:
    """The values of one SKU that a subject overrides; None keeps the weaker source's value (spec 08 choice 5)."""

    included: int | None = None
    overage_price: int | None = None
    tiers: Tiers | None = None

    def to_json(self) -> dict[str, object]:
        """Return the override as stored: canonical decimal strings of what it overrides."""
        values: dict[str, object] = {}
        if self.included is not None:
            values["included_qty"] = format_scaled(self.included, QUANTITY_PLACES)
        if self.overage_price is not None:
            values["overage_price"] = format_scaled(self.overage_price, PRICE_PLACES)
        if self.tiers is not None:
            values["tiers"] = self.tiers.to_json()
        return values


@dataclass(frozen=True, slots=True)
class EntitlementRow:
    """All overrides of a subject from `effective_at_us` on: it replaces the subject's earlier row as a whole.

    With a plan it holds only for orgs on that plan: an override in one plan's currency must not price another's.
    """

    subject_kind: SubjectKind
    subject_id: bytes
    plan_id: bytes | None
    overrides: Mapping[str, Override]
    effective_at_us: int
    revision: int = 0


@dataclass(frozen=True, slots=True)
class TermsRows:
    """Everything that a `TermsIndex` is made of."""

    skus: Sequence[SkuRow] = ()
    plans: Sequence[PlanRow] = ()
    plan_skus: Sequence[PlanSkuRow] = ()
    assignments: Sequence[AssignmentRow] = ()
    entitlements: Sequence[EntitlementRow] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """The row that a value came from."""

    kind: SourceKind
    revision: int


@dataclass(frozen=True, slots=True)
class SkuTerms:
    """The values that one SKU is charged by: what a price is, and what fixes a period's structure."""

    charge_model: str
    """A name of `charge_models.MODELS`."""
    included: int
    overage_price: int
    tiers: Tiers = NO_TIERS

    def overridden(self, override: Override | None) -> SkuTerms:
        """Return the values with those of an override in their place."""
        if override is None:
            return self
        return SkuTerms(
            self.charge_model,
            self.included if override.included is None else override.included,
            self.overage_price if override.overage_price is None else override.overage_price,
            self.tiers if override.tiers is None else override.tiers,
        )


def parse_override(values: Mapping[str, Any]) -> Override:
    """Return the override of parsed JSON, as `Override.to_json` writes it. Reasons QUANTITY_*, PRICE_*, TIERS_*."""
    return Override(
        parse_included(values["included_qty"]) if "included_qty" in values else None,
        parse_price(values["overage_price"]) if "overage_price" in values else None,
        parse_tiers(values["tiers"]) if "tiers" in values else None,
    )
