"""Between the database's values and ours: instants in microseconds, amounts as scaled ints."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

from apportion_common.decimals import AMOUNT_PLACES, from_scaled

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = _EPOCH.toordinal()
_MICROSECOND: Final = timedelta(microseconds=1)


def to_datetime(at_us: int) -> datetime:
    """The instant of microseconds since 1970 UTC."""
    return _EPOCH + timedelta(microseconds=at_us)


def optional_datetime(at_us: int | None) -> datetime | None:
    """As `to_datetime`; None stays None."""
    return None if at_us is None else to_datetime(at_us)


def to_us(at: datetime) -> int:
    """Microseconds since 1970 UTC of an instant with a zone."""
    return (at - _EPOCH) // _MICROSECOND


def optional_us(at: datetime | None) -> int | None:
    """As `to_us`; None stays None."""
    return None if at is None else to_us(at)


def to_date(day: int) -> date:
    """The date of a number of days since 1970."""
    return date.fromordinal(day + _EPOCH_DAY)


def amount(scaled: int) -> Decimal:
    """The exact Decimal of an amount scaled by 9 places, for a statement's parameter."""
    return from_scaled(scaled, AMOUNT_PLACES)


def scaled(expression: str, places: int = AMOUNT_PLACES) -> str:
    """SQL text that gives a numeric as an int scaled by `places`, as text: `int()` of it is exact at any size."""
    return f"trunc(({expression}) * {10**places})::text"
