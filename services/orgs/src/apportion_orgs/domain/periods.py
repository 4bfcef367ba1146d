"""Periods: calendar months in UTC, half-open, as microseconds since 1970 (spec 00, "Period and time")."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from apportion_common.errors import OutOfRange

DAY_US: Final = 86_400_000_000
FIRST_YEAR: Final = 1970
"""Mappings may reach back to the first instant that times are counted from."""
LAST_YEAR: Final = 2100

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Period:
    """A month: its key (`2013-01`), its first microsecond and the first one after it."""

    key: str
    start_us: int
    end_us: int


def period_of(at_us: int) -> Period:
    """The period that an instant falls in. OutOfRange TIME_OUT_OF_RANGE outside the years 1970 to 2100."""
    if not _start_us(FIRST_YEAR, 1) <= at_us < _start_us(LAST_YEAR + 1, 1):
        raise _out_of_range()
    day = date.fromordinal(_EPOCH_DAY + at_us // DAY_US)
    return _period(day.year, day.month)


def parse_period(key: str) -> Period:
    """The period of a key such as `2013-01`, whose form the contract has checked. OutOfRange TIME_OUT_OF_RANGE."""
    year, month = int(key[:4]), int(key[5:])
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise _out_of_range()
    return _period(year, month)


def _period(year: int, month: int) -> Period:
    end_us = _start_us(year + 1, 1) if month == 12 else _start_us(year, month + 1)
    return Period(f"{year:04d}-{month:02d}", _start_us(year, month), end_us)


def _start_us(year: int, month: int) -> int:
    return (date(year, month, 1).toordinal() - _EPOCH_DAY) * DAY_US


def _out_of_range() -> OutOfRange:
    return OutOfRange("TIME_OUT_OF_RANGE", f"Times lie in the years {FIRST_YEAR} to {LAST_YEAR}.")
