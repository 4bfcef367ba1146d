"""Tiers: `[{"threshold": "1000", "price": "0.018"}]` means that units above 1000 cost 0.018 (spec 03, "Rating").

They are those above the first tier, whose price is the row's `overage_price`. Tiers are
continuous, (from, to], the last one open: there are no gaps or overlaps to get wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from apportion_common.decimals import (
    PRICE,
    PRICE_PLACES,
    QUANTITY,
    QUANTITY_PLACES,
    DecimalKind,
    format_scaled,
    parse_scaled,
)
from apportion_common.errors import InvalidArgument

from apportion_pricing.limits import TIERS_MAX


@dataclass(frozen=True, slots=True)
class Tiers:
    """Thresholds (scaled ints at 9 places, beyond the included quantity, rising) with their prices (12 places)."""

    thresholds: tuple[int, ...] = ()
    prices: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Raise InvalidArgument TIERS_* or PRICE_NEGATIVE for what cannot be tiers, however they are made."""
        if len(self.thresholds) != len(self.prices):
            raise InvalidArgument("TIERS_MALFORMED", "Tiers have one price for each threshold.")
        if len(self.thresholds) > TIERS_MAX:
            raise InvalidArgument("TIERS_TOO_MANY", f"Tiers have at most {TIERS_MAX} thresholds.")
        before = 0
        for threshold in self.thresholds:
            if threshold <= 0:
                raise InvalidArgument("TIERS_THRESHOLD_NOT_POSITIVE", "A tier's threshold is above zero.")
            if threshold == before:
                raise InvalidArgument("TIERS_DUPLICATE", "Two tiers have the same threshold.")
            if threshold < before:
                raise InvalidArgument("TIERS_UNSORTED", "The tiers' thresholds rise from each to the next.")
            before = threshold
        for price in self.prices:
            check_price(price)

    def to_json(self) -> list[dict[str, str]]:
        """Return the tiers as stored: canonical decimal strings."""
        return [
            {"threshold": format_scaled(t, QUANTITY_PLACES), "price": format_scaled(p, PRICE_PLACES)}
            for t, p in zip(self.thresholds, self.prices, strict=True)
        ]


NO_TIERS: Final = Tiers()


def parse_tiers(rows: Sequence[Mapping[str, object]]) -> Tiers:
    """Return the tiers of parsed JSON rows; a number is a string or an int, never a float.

    Raises InvalidArgument or OutOfRange: TIERS_*, QUANTITY_*, PRICE_*.
    """
    if len(rows) > TIERS_MAX:
        raise InvalidArgument("TIERS_TOO_MANY", f"Tiers have at most {TIERS_MAX} thresholds.")
    for row in rows:
        if set(row) != {"threshold", "price"}:
            raise InvalidArgument("TIERS_MALFORMED", "A tier has exactly a threshold and a price.")
    return Tiers(
        tuple(_number(row["threshold"], QUANTITY) for row in rows),
        tuple(_number(row["price"], PRICE) for row in rows),
    )


def tiers_not_graduated(sku: str) -> InvalidArgument:
    """Return the error for tiers on a row whose charge model has none."""
    return InvalidArgument("TIERS_NOT_GRADUATED", f"{sku} is charged per unit and has no tiers.", field="tiers")


def check_price(price: int) -> int:
    """Return `price` (12 places) itself. InvalidArgument PRICE_NEGATIVE."""
    if price < 0:
        raise InvalidArgument("PRICE_NEGATIVE", "A price is not negative.")
    return price


def parse_price(text: str) -> int:
    """Return a price of at most 12 places, not negative, as a scaled int. InvalidArgument or OutOfRange PRICE_*."""
    return check_price(parse_scaled(text, PRICE))


def parse_included(text: str) -> int:
    """Return an included quantity, not negative, as a scaled int at 9 places. Reasons QUANTITY_*, INCLUDED_NEGATIVE."""
    included = parse_scaled(text, QUANTITY)
    if included < 0:
        raise InvalidArgument("INCLUDED_NEGATIVE", "An included quantity is not negative.")
    return included


def _number(value: object, kind: DecimalKind) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidArgument("TIERS_MALFORMED", f"A tier's {kind.name} is a decimal string.")
    return parse_scaled(value if isinstance(value, str) else _int_text(value), kind)


def _int_text(value: int) -> str:
    if value.bit_length() > 64:
        raise InvalidArgument("TIERS_MALFORMED", "A tier's number is too large.")
    return str(value)
