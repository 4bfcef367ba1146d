"""What is checked when terms are written, so that resolution and rating never meet terms that cannot be right."""

from __future__ import annotations

from collections.abc import Hashable

from apportion_common.errors import FailedPrecondition
from apportion_common.periods import is_period_start

from apportion_pricing.domain.charge_models import MODELS
from apportion_pricing.domain.terms import SkuTerms


def check_effective_at(effective_at_us: int, before: SkuTerms | None, after: SkuTerms | None) -> None:
    """Let a change of one SKU's effective values take effect at `effective_at_us`, or raise.

    What a charge model does not count as structure (prices, of per_unit and graduated) may change at any instant;
    everything else (charge model, included quantity, thresholds, a SKU added (`before` None) or taken away (`after`
    None)) at a period's start (spec 03, "Rating"). Raises FailedPrecondition EFFECTIVE_AT_NOT_PERIOD_START.
    """
    if is_period_start(effective_at_us):
        return
    if before is None or after is None or _structure(before) != _structure(after):
        raise FailedPrecondition(
            "EFFECTIVE_AT_NOT_PERIOD_START",
            "Within a period only prices of per_unit and graduated rows change; this takes effect at a period's start.",
        )


def _structure(terms: SkuTerms) -> tuple[str, Hashable]:
    return terms.charge_model, MODELS[terms.charge_model].structure(terms)
