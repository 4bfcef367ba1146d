"""Instants: microseconds since 1970-01-01 UTC as whole numbers, and the aware datetimes that drivers take."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final

US_PER_S: Final = 1_000_000
DAY_US: Final = 86_400 * US_PER_S

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = _EPOCH.toordinal()
_MICROSECOND: Final = timedelta(microseconds=1)


def datetime_of_us(at_us: int) -> datetime:
    """Return the instant as a datetime in UTC. Raises OverflowError outside the years 1 to 9999."""
    return _EPOCH + at_us * _MICROSECOND


def us_of_datetime(at: datetime) -> int:
    """Return microseconds since 1970 UTC of a datetime with a zone."""
    return (at - _EPOCH) // _MICROSECOND


def optional_datetime_of_us(at_us: int | None) -> datetime | None:
    """Return what `datetime_of_us` does; None stays None."""
    return None if at_us is None else datetime_of_us(at_us)


def optional_us_of_datetime(at: datetime | None) -> int | None:
    """Return what `us_of_datetime` does; None stays None."""
    return None if at is None else us_of_datetime(at)


def date_of_day(day: int) -> date:
    """Return the date of a number of days since 1970."""
    return date.fromordinal(day + _EPOCH_DAY)


def day_of_date(day: date) -> int:
    """Return the number of days since 1970 of a date."""
    return day.toordinal() - _EPOCH_DAY
