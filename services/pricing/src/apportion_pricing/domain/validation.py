"""What is checked when terms are written, so that resolution and rating never meet terms that cannot be right."""

from __future__ import annotations

from apportion_common.errors import FailedPrecondition

from apportion_pricing.domain.periods import is_period_start
from apportion_pricing.domain.rating import ChargeModel
from apportion_pricing.domain.terms import SkuTerms


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


def _structure(terms: SkuTerms) -> tuple[ChargeModel, int, tuple[int, ...]]:
    return terms.charge_model, terms.included, terms.tiers.thresholds
