"""What is checked when terms are written, so that resolution and rating never meet terms that cannot be right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from apportion_common.errors import FailedPrecondition, InvalidArgument

from apportion_pricing.domain.periods import is_period_start
from apportion_pricing.domain.rating import ChargeModel
from apportion_pricing.domain.terms import Override, SkuTerms
from apportion_pricing.domain.tiers import parse_included, parse_price, parse_tiers

MAX_OVERRIDDEN_SKUS: Final = 1000
"""SKUs that one entitlement row overrides."""

_OVERRIDE_KEYS: Final = frozenset({"included_qty", "overage_price", "tiers"})


def check_effective_at(effective_at_us: int, before: SkuTerms | None, after: SkuTerms | None) -> None:
    """Lets a change of one SKU's effective values take effect at `effective_at_us`, or refuses it.

    Prices of per_unit and graduated rows may change at any instant; everything else (charge model, included quantity,
    thresholds, a SKU added (`before` None) or taken away (`after` None)) at a period's start (spec 03, "Rating").
    Raises FailedPrecondition EFFECTIVE_AT_NOT_PERIOD_START.
    """
    if is_period_start(effective_at_us):
        return
    if before is None or after is None or _structure(before) != _structure(after):
        raise FailedPrecondition(
            "EFFECTIVE_AT_NOT_PERIOD_START",
            "Within a period only prices of per_unit and graduated rows change; this takes effect at a period's start.",
        )


def check_assignment_at(effective_at_us: int, first_effective_at_us: int | None) -> None:
    """Lets an org's first assignment begin at any instant, a later one at a period's start.

    Raises FailedPrecondition EFFECTIVE_AT_NOT_PERIOD_START.
    """
    if first_effective_at_us is None or is_period_start(effective_at_us):
        return
    raise FailedPrecondition("EFFECTIVE_AT_NOT_PERIOD_START", "An org that has a plan changes it at a period's start.")


def parse_overrides(overrides: Mapping[str, object], models: Mapping[str, ChargeModel]) -> dict[str, Override]:
    """The overrides of an entitlement row from parsed JSON, checked.

    `overrides` maps a SKU to `included_qty`, `overage_price` and `tiers`, each optional; `models` maps the SKUs that
    may be overridden to their charge models. Raises InvalidArgument or OutOfRange: OVERRIDE_SKU_UNKNOWN,
    OVERRIDE_MALFORMED, OVERRIDE_TOO_LARGE, OVERRIDE_TIERS_NOT_GRADUATED, and those of the values (PRICE_*, TIERS_*).
    """
    if len(overrides) > MAX_OVERRIDDEN_SKUS:
        raise InvalidArgument("OVERRIDE_TOO_LARGE", f"A row overrides at most {MAX_OVERRIDDEN_SKUS} SKUs.")
    return {sku: _parse_override(sku, values, models) for sku, values in overrides.items()}


def _parse_override(sku: str, values: object, models: Mapping[str, ChargeModel]) -> Override:
    if sku not in models:
        raise InvalidArgument("OVERRIDE_SKU_UNKNOWN", f"The SKU {sku[:64]!r} is not one that can be overridden.")
    if not isinstance(values, Mapping) or not values or not _OVERRIDE_KEYS.issuperset(values):
        raise InvalidArgument(
            "OVERRIDE_MALFORMED", f"The override of {sku} has one or more of {', '.join(sorted(_OVERRIDE_KEYS))}."
        )
    tiers = None
    if "tiers" in values:
        rows = values["tiers"]
        if not isinstance(rows, Sequence) or isinstance(rows, str) or not all(isinstance(r, Mapping) for r in rows):
            raise InvalidArgument("OVERRIDE_MALFORMED", f"The tiers of {sku} are a list of thresholds and prices.")
        if models[sku] is ChargeModel.PER_UNIT:
            raise InvalidArgument("OVERRIDE_TIERS_NOT_GRADUATED", f"{sku} is charged per unit and has no tiers.")
        tiers = parse_tiers(rows)
    included, price = (_text(sku, values[key]) if key in values else None for key in ("included_qty", "overage_price"))
    return Override(
        included=None if included is None else parse_included(included),
        overage_price=None if price is None else parse_price(price),
        tiers=tiers,
    )


def _text(sku: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidArgument("OVERRIDE_MALFORMED", f"The numbers of {sku} are decimal strings.")
    return value


def _structure(terms: SkuTerms) -> tuple[ChargeModel, int, tuple[int, ...]]:
    return terms.charge_model, terms.included, terms.tiers.thresholds
