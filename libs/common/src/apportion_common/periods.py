"""Periods: calendar months in UTC, half-open, as microseconds since 1970 (spec 00, "Period and time").

Every instant that decides about money falls in exactly one of them. The years that they cover are those of the terms:
mappings reach back to 1970. Usage has a narrower window of its own, which metering checks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final

from apportion_common.errors import InvalidArgument, OutOfRange
from apportion_common.instants import DAY_US, date_of_day, day_of_date

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2100

_FIRST_DAY: Final = day_of_date(date(FIRST_YEAR, 1, 1))
_END_DAY: Final = day_of_date(date(LAST_YEAR + 1, 1, 1))
_KEY: Final = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Period:
    """A month: its key (`2013-01`), its first microsecond and the first one after it."""

    key: str
    start_us: int
    end_us: int


def period_of(at_us: int) -> Period:
    """Return the period that an instant falls in. OutOfRange TIME_OUT_OF_RANGE outside the years 1970 to 2100."""
    return _period_of_day(at_us // DAY_US)


def parse_period(key: str) -> Period:
    """Return the period named `YYYY-MM`. InvalidArgument PERIOD_MALFORMED, OutOfRange TIME_OUT_OF_RANGE."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise InvalidArgument("PERIOD_MALFORMED", f"{key[:16]!r} is not a month such as '2013-01'.")
    year, month = int(match[1]), int(match[2])
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise _out_of_range()
    return _period_of_day(day_of_date(date(year, month, 1)))


def is_period_start(at_us: int) -> bool:
    """Return whether the instant is the first microsecond of a period."""
    return period_of(at_us).start_us == at_us


@lru_cache(maxsize=4096)
def _period_of_day(day: int) -> Period:
    if not _FIRST_DAY <= day < _END_DAY:
        raise _out_of_range()
    month = date_of_day(day).replace(day=1)
    following = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    start, end = day_of_date(month), day_of_date(following)
    return Period(f"{month.year:04d}-{month.month:02d}", start * DAY_US, end * DAY_US)


def _out_of_range() -> OutOfRange:
    return OutOfRange("TIME_OUT_OF_RANGE", f"Times lie in the years {FIRST_YEAR} to {LAST_YEAR}, UTC.")
