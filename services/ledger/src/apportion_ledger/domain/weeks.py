"""ISO weeks as half-open UTC instants, in microseconds since 1970 (spec 02 rule 4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Final

from apportion_common.errors import InvalidArgument
from apportion_common.instants import DAY_US, day_of_date

FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2100

_KEY: Final = re.compile(r"([0-9]{4})-W([0-9]{2})")


@dataclass(frozen=True, slots=True)
class Week:
    """An ISO week: its key (`2013-W01`), its first microsecond and the first one after it."""

    key: str
    start_us: int
    end_us: int


def parse_week(key: str) -> Week:
    """Return the week `YYYY-Www`. InvalidArgument WEEK_MALFORMED, also for a week 53 that the year does not have."""
    match = _KEY.fullmatch(key)
    if match is None or not FIRST_YEAR <= int(match[1]) <= LAST_YEAR:
        raise _malformed(key)
    try:
        monday = date.fromisocalendar(int(match[1]), int(match[2]), 1)
    except ValueError:
        raise _malformed(key) from None
    start_us = day_of_date(monday) * DAY_US
    return Week(key, start_us, start_us + 7 * DAY_US)


def _malformed(key: str) -> InvalidArgument:
    return InvalidArgument("WEEK_MALFORMED", f"{key[:16]!r} is not an ISO week such as '2013-W01'.")
