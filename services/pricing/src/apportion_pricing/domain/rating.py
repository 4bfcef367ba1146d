"""Rating of per_unit and graduated: the closed form C and the engine's step, two independent pieces of code.

They share rounding and the tier types only, so that comparing them can fail (spec 03, "Rating"). Everything is a
scaled int: quantities at 9 places, prices at 12, amounts at 9; a product has 21 and is rounded once.
"""

from __future__ import annotations

from bisect import bisect_left
from enum import StrEnum
from typing import Final, NamedTuple

from apportion_common.decimals import (
    AMOUNT_PLACES,
    MAX_AMOUNT,
    MAX_QUANTITY,
    PRICE_PLACES,
    QUANTITY_PLACES,
    round_half_away,
)

from apportion_pricing.domain.tiers import Tiers

PRODUCT_TO_AMOUNT: Final = QUANTITY_PLACES + PRICE_PLACES - AMOUNT_PLACES
"""Places that a product of quantity and price has more than an amount."""


class ChargeModel(StrEnum):
    """How a row charges. A per_unit row is a ladder of one tier."""

    PER_UNIT = "per_unit"
    GRADUATED = "graduated"


class Refusal(StrEnum):
    """Why an event has no charge; the names of the dead letters' reasons (spec 08 choice 8).

    AMOUNT_OUT_OF_RANGE is a position or amount beyond 18 digits: it dead-letters as PROCESSING_FAILED.
    """

    UNKNOWN_SKU = "UNKNOWN_SKU"
    NO_ENTITLEMENT = "NO_ENTITLEMENT"
    CORRECTION_BELOW_ZERO = "CORRECTION_BELOW_ZERO"
    AMOUNT_OUT_OF_RANGE = "AMOUNT_OUT_OF_RANGE"

    @property
    def dead_letter_reason(self) -> str:
        """The reason that the event's dead letter has."""
        return "PROCESSING_FAILED" if self is Refusal.AMOUNT_OUT_OF_RANGE else self.value


class Ladder(NamedTuple):
    """What the step needs of the terms, made once per terms by `compile_ladder`."""

    included: int
    first_price: int
    thresholds: tuple[int, ...]
    """Upper bounds of all tiers but the last, beyond the included quantity."""
    slopes: tuple[int, ...]
    """Price of each tier."""
    offsets: tuple[int, ...]
    """For each tier, what `units * slope` must be corrected by to be the whole charge, at 21 places."""


def compile_ladder(included: int, overage_price: int, tiers: Tiers) -> Ladder:
    """The step's ladder of an included quantity (9 places), a first tier's price (12 places) and the tiers above it."""
    slopes = (overage_price, *tiers.prices)
    offsets = [0]
    for threshold, below, above in zip(tiers.thresholds, slopes, slopes[1:], strict=False):
        offsets.append(offsets[-1] + threshold * (below - above))
    return Ladder(included, overage_price, tiers.thresholds, slopes, tuple(offsets))


def step(position: int, quantity: int, ladder: Ladder) -> tuple[int, int] | Refusal:
    """The new position and the amount of one event, from `position` (usage of the period before it) and `quantity`.

    The amount is C(position + quantity) - C(position) under the ladder's prices. A refusal (below zero usage, out of
    range) leaves the position as it is.
    """
    after = position + quantity
    if after < 0:
        return Refusal.CORRECTION_BELOW_ZERO
    if after > MAX_QUANTITY:
        return Refusal.AMOUNT_OUT_OF_RANGE
    included, first_price, thresholds, slopes, offsets = ladder
    low = position - included
    high = after - included
    if not thresholds:
        amount = round_half_away(high * first_price, PRODUCT_TO_AMOUNT) if high > 0 else 0
        if low > 0:
            amount -= round_half_away(low * first_price, PRODUCT_TO_AMOUNT)
    else:
        amount = 0
        if high > 0:
            tier = bisect_left(thresholds, high)
            amount = round_half_away(high * slopes[tier] + offsets[tier], PRODUCT_TO_AMOUNT)
        if low > 0:
            tier = bisect_left(thresholds, low)
            amount -= round_half_away(low * slopes[tier] + offsets[tier], PRODUCT_TO_AMOUNT)
    if not -MAX_AMOUNT <= amount <= MAX_AMOUNT:
        return Refusal.AMOUNT_OUT_OF_RANGE
    return after, amount


def closed_form(total: int, included: int, overage_price: int, tiers: Tiers) -> int:
    """C(total): the charge of a period's whole usage (scaled 9 places) as an amount at 9 places, rounded once.

    Each unit beyond the included quantity has the price of the tier that it falls in; a unit that reaches a threshold
    exactly belongs to the tier it completes.
    """
    remaining = max(total - included, 0)
    charge = 0
    for index in range(len(tiers.thresholds), 0, -1):
        threshold = tiers.thresholds[index - 1]
        if remaining > threshold:
            charge += (remaining - threshold) * tiers.prices[index - 1]
            remaining = threshold
    return round_half_away(charge + remaining * overage_price, PRODUCT_TO_AMOUNT)
