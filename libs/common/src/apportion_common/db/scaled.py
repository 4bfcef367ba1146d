"""Between numeric columns and scaled ints: amounts and quantities have 9 places, percentages 4."""

from __future__ import annotations

from decimal import Decimal

from apportion_common.decimals import AMOUNT_PLACES, AMOUNT_SUM, PERCENT, PERCENT_PLACES, from_scaled, to_scaled


def amount_of_scaled(value: int) -> Decimal:
    """Return an amount or quantity for a column of 9 places."""
    return from_scaled(value, AMOUNT_PLACES)


def scaled_of_amount(value: Decimal) -> int:
    """Return an amount, a quantity or a sum of them from a column of 9 places."""
    return to_scaled(value, AMOUNT_SUM)


def percent_of_scaled(value: int | None) -> Decimal | None:
    """Return a percentage for a column of 4 places; None stays None."""
    return None if value is None else from_scaled(value, PERCENT_PLACES)


def scaled_of_percent(value: Decimal | None) -> int | None:
    """Return a percentage from a column of 4 places; None stays None."""
    return None if value is None else to_scaled(value, PERCENT)


def scaled_sql(expression: str, places: int = AMOUNT_PLACES) -> str:
    """Return SQL text of a numeric as an int scaled by `places`, as text: `int()` of it is exact at any size."""
    return f"trunc(({expression}) * {10**places})::text"
