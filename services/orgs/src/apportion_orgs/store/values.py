"""Between the database's values and ours: instants in microseconds, numbers as scaled ints, empty texts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from apportion_common.decimals import AMOUNT, AMOUNT_PLACES, PERCENT, PERCENT_PLACES, from_scaled, to_scaled

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def datetime_of_us(at_us: int) -> datetime:
    """The instant as the driver takes it."""
    return _EPOCH + at_us * _MICROSECOND


def us_of_datetime(at: datetime) -> int:
    """The instant in microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def amount_of_scaled(value: int) -> Decimal:
    """An amount or quantity for a column of 9 places."""
    return from_scaled(value, AMOUNT_PLACES)


def scaled_of_amount(value: Decimal) -> int:
    """An amount or quantity from a column of 9 places."""
    return to_scaled(value, AMOUNT)


def percent_of_scaled(value: int | None) -> Decimal | None:
    """A percentage for a column of 4 places."""
    return None if value is None else from_scaled(value, PERCENT_PLACES)


def scaled_of_percent(value: Decimal | None) -> int | None:
    """A percentage from a column of 4 places."""
    return None if value is None else to_scaled(value, PERCENT)
