"""per_unit: each unit beyond the included quantity at one price."""

from __future__ import annotations

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
from apportion_pricing.domain.tiers import tiers_not_graduated
from apportion_pricing.limits import POSITION_QUANTITY_MAX


class UnitPrice(NamedTuple):
    """An included quantity and the price of each unit beyond it."""

    included: int
    price: int


class PerUnit:
    """The model `per_unit`; its state is the period's usage."""

    name = "per_unit"
    tiered = False

    def validate(self, sku: str, values: SkuTerms) -> None:
        """Raise InvalidArgument TIERS_NOT_GRADUATED for tiers."""
        if values.tiers.thresholds:
            raise tiers_not_graduated(sku)

    def structure(self, values: SkuTerms) -> Hashable:
        """Return all but the prices."""
        return values.included, values.tiers.thresholds

    def table(self, values: SkuTerms) -> UnitPrice:
        """Return what an increment needs of the values."""
        return UnitPrice(values.included, values.overage_price)

    def restore(self, quantity: int) -> int:
        """Return the stored usage."""
        return quantity

    def increment(self, state: int, quantity: int, table: UnitPrice) -> tuple[int, int] | Rejection:
        """Return the usage after an event, and its amount: C(state + quantity) - C(state) at the table's price."""
        after = state + quantity
        if after < 0:
            return CORRECTION_BELOW_ZERO
        if after > POSITION_QUANTITY_MAX:
            return POSITION_OUT_OF_RANGE
        included, price = table
        low = state - included
        high = after - included
        amount = round_half_away(high * price, PRODUCT_TO_AMOUNT_PLACES) if high > 0 else 0
        if low > 0:
            amount -= round_half_away(low * price, PRODUCT_TO_AMOUNT_PLACES)
        if not -AMOUNT_MAX <= amount <= AMOUNT_MAX:
            return AMOUNT_OUT_OF_RANGE
        return after, amount

    def close(self, state: int, table: UnitPrice) -> int:
        """Return 0: the events' amounts are the whole charge."""
        return 0
