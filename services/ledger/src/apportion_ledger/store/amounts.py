"""Between the database's numerics and our scaled ints."""

from __future__ import annotations

from decimal import Decimal

from apportion_common.decimals import AMOUNT_PLACES, from_scaled


def amount(scaled: int) -> Decimal:
    """Return the exact Decimal of an amount scaled by 9 places, for a statement's parameter."""
    return from_scaled(scaled, AMOUNT_PLACES)


def scaled(expression: str, places: int = AMOUNT_PLACES) -> str:
    """Return SQL text for a numeric as an int scaled by `places`, as text: `int()` of it is exact at any size."""
    return f"trunc(({expression}) * {10**places})::text"
