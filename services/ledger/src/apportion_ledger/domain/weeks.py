"""ISO weeks as half-open UTC instants, in microseconds since 1970 (spec 02 rule 4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Final

from apportion_common.errors import InvalidArgument, OutOfRange

DAY_US: Final = 86_400_000_000
FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2100

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_KEY: Final = re.compile(r"([0-9]{4})-W([0-9]{2})")


@dataclass(frozen=True, slots=True)
class Week:
    """An ISO week: its key (`2013-W01`), its first microsecond and the first one after it."""

    key: str
    start_us: int
    end_us: int


def parse_week(key: str) -> Week:
    """The week named `YYYY-Www`. InvalidArgument WEEK_MALFORMED, also for a week 53 that the year does not have."""
    match = _KEY.fullmatch(key)
    if match is None or not FIRST_YEAR <= int(match[1]) <= LAST_YEAR:
        raise _malformed(key)
    try:
        monday = date.fromisocalendar(int(match[1]), int(match[2]), 1)
    except ValueError:
        raise _malformed(key) from None
    return _week_from(monday)


def week_of(at_us: int) -> Week:
    """The week that the instant falls in. OutOfRange TIME_OUT_OF_RANGE outside the years 2000 to 2100."""
    day = at_us // DAY_US + _EPOCH_DAY
    if not date(FIRST_YEAR, 1, 1).toordinal() <= day < date(LAST_YEAR + 1, 1, 1).toordinal():
        raise OutOfRange("TIME_OUT_OF_RANGE", f"Times lie in the years {FIRST_YEAR} to {LAST_YEAR}, UTC.")
    return _week_from(date.fromordinal(day - (day - 1) % 7))


def _week_from(monday: date) -> Week:
    year, week, _ = monday.isocalendar()
    start = (monday.toordinal() - _EPOCH_DAY) * DAY_US
    return Week(f"{year:04d}-W{week:02d}", start, start + 7 * DAY_US)


def _malformed(key: str) -> InvalidArgument:
    return InvalidArgument("WEEK_MALFORMED", f"{key[:16]!r} is not an ISO week such as '2013-W01'.")
