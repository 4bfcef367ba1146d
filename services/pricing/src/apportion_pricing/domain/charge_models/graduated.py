"""graduated: each unit beyond the included quantity at the price of the tier that it falls in.

A unit that reaches a threshold exactly belongs to the tier that it completes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable
from typing import NamedTuple

from apportion_common.decimals import AMOUNT_MAX, round_half_away

from apportion_pricing.domain.charge_models.model import PRODUCT_TO_AMOUNT_PLACES
from apportion_pricing.domain.rejections import (
    AMOUNT_OUT_OF_RANGE,
    CORRECTION_BELOW_ZERO,
    POSITION_OUT_OF_RANGE,
    Rejection,
)
from apportion_pricing.domain.terms import SkuTerms
from apportion_pricing.limits import POSITION_QUANTITY_MAX


class PriceTable(NamedTuple):
    """An included quantity and the tiers beyond it, as lines of which each is the whole charge within its tier."""

    included: int
    thresholds: tuple[int, ...]
    """Upper bounds of all tiers but the last, beyond the included quantity."""
    slopes: tuple[int, ...]
    """Price of each tier."""
    offsets: tuple[int, ...]
    """For each tier, what `units * slope` must be corrected by to be the whole charge, at 21 places."""


class Graduated:
    """The model `graduated`; its state is the period's usage."""

    name = "graduated"
    tiered = True

    def validate(self, sku: str, values: SkuTerms) -> None:
        """Accept the values: `Tiers` has checked its own."""

    def structure(self, values: SkuTerms) -> Hashable:
        """Return all but the prices."""
        return values.included, values.tiers.thresholds

    def table(self, values: SkuTerms) -> PriceTable:
        """Return what an increment needs of the values."""
        thresholds, slopes, offsets = values.tiers.thresholds, (values.overage_price, *values.tiers.prices), [0]
        for threshold, below, above in zip(thresholds, slopes, slopes[1:], strict=False):
            offsets.append(offsets[-1] + threshold * (below - above))
        return PriceTable(values.included, thresholds, slopes, tuple(offsets))

    def restore(self, quantity: int) -> int:
        """Return the stored usage."""
        return quantity

    def increment(self, state: int, quantity: int, table: PriceTable) -> tuple[int, int] | Rejection:
        """Return the usage after an event, and its amount: C(state + quantity) - C(state) at the table's prices."""
        after = state + quantity
        if after < 0:
            return CORRECTION_BELOW_ZERO
        if after > POSITION_QUANTITY_MAX:
            return POSITION_OUT_OF_RANGE
        included, thresholds, slopes, offsets = table
        low = state - included
        high = after - included
        amount = 0
        if high > 0:
            tier = bisect_left(thresholds, high)
            amount = round_half_away(high * slopes[tier] + offsets[tier], PRODUCT_TO_AMOUNT_PLACES)
        if low > 0:
            tier = bisect_left(thresholds, low)
            amount -= round_half_away(low * slopes[tier] + offsets[tier], PRODUCT_TO_AMOUNT_PLACES)
        if not -AMOUNT_MAX <= amount <= AMOUNT_MAX:
            return AMOUNT_OUT_OF_RANGE
        return after, amount

    def close(self, state: int, table: PriceTable) -> int:
        """Return 0: the events' amounts are the whole charge."""
        return 0
