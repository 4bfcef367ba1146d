"""The charge of a period's whole usage in closed form: shares with the charge models rounding and the tiers only."""

from __future__ import annotations

from apportion_common.decimals import AMOUNT_PLACES, PRICE_PLACES, QUANTITY_PLACES, round_half_away
from apportion_pricing.domain.terms import SkuTerms

PRODUCT_TO_AMOUNT_PLACES = QUANTITY_PLACES + PRICE_PLACES - AMOUNT_PLACES


def closed_form(total: int, values: SkuTerms) -> int:
    """Return C(total), the charge of a usage (scaled by 9 places) as an amount at 9 places, rounded once.

    Each unit beyond the included quantity has the price of the tier that it falls in; a unit that reaches a threshold
    exactly belongs to the tier it completes. Of per_unit there is one tier.
    """
    remaining = max(total - values.included, 0)
    charge = 0
    for index in range(len(values.tiers.thresholds), 0, -1):
        threshold = values.tiers.thresholds[index - 1]
        if remaining > threshold:
            charge += (remaining - threshold) * values.tiers.prices[index - 1]
            remaining = threshold
    return round_half_away(charge + remaining * values.overage_price, PRODUCT_TO_AMOUNT_PLACES)
