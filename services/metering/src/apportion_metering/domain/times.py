"""Event times: RFC 3339 text or (seconds, nanos), to microseconds since 1970 UTC, within the years of usage."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import Final

from apportion_common.errors import InvalidArgument, OutOfRange
from apportion_common.instants import DAY_US, US_PER_S, day_of_date

from apportion_metering.limits import EVENT_TIME_YEAR_MAX, EVENT_TIME_YEAR_MIN, TIME_TEXT_CHARS_MAX

_DAY_S: Final = DAY_US // US_PER_S
_FIRST_US: Final = day_of_date(date(EVENT_TIME_YEAR_MIN, 1, 1)) * DAY_US
_END_US: Final = day_of_date(date(EVENT_TIME_YEAR_MAX + 1, 1, 1)) * DAY_US
_TEXT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)


def parse_time(text: str) -> int:
    """Return an RFC 3339 time with `Z` or an offset as microseconds since 1970 UTC.

    Raises InvalidArgument TIME_MALFORMED (leap seconds and local times too), TIME_TOO_PRECISE (finer than a
    microsecond), OutOfRange TIME_OUT_OF_RANGE (outside the years 2000 to 2100, UTC).
    """
    match = _TEXT.fullmatch(text) if len(text) <= TIME_TEXT_CHARS_MAX else None
    if match is None:
        raise _malformed(text)
    day, hour, minute, second, fraction, sign, offset_hour, offset_minute = match.groups()
    seconds = _day_of(day) * _DAY_S + int(hour) * 3600 + int(minute) * 60 + int(second)
    if sign is not None:
        offset = int(offset_hour) * 3600 + int(offset_minute) * 60
        seconds += offset if sign == "-" else -offset
    return time_of(seconds, int(fraction.ljust(9, "0")) if fraction else 0)


def time_of(seconds: int, nanos: int) -> int:
    """Return microseconds since 1970 UTC of a timestamp's seconds and nanos. Raises as `parse_time`."""
    if not 0 <= nanos < 1_000_000_000:
        raise InvalidArgument("TIME_MALFORMED", "A timestamp's nanos lie between 0 and 999,999,999.")
    micros, finer = divmod(nanos, 1000)
    if finer:
        raise InvalidArgument("TIME_TOO_PRECISE", "Times have at most microseconds.")
    return check_time(seconds * US_PER_S + micros)


def check_time(at_us: int) -> int:
    """Return `at_us` itself; OutOfRange TIME_OUT_OF_RANGE outside the years 2000 to 2100, UTC."""
    if not _FIRST_US <= at_us < _END_US:
        raise OutOfRange(
            "TIME_OUT_OF_RANGE", f"Times lie in the years {EVENT_TIME_YEAR_MIN} to {EVENT_TIME_YEAR_MAX}, UTC."
        )
    return at_us


@lru_cache(maxsize=1024)
def _day_of(text: str) -> int:
    try:
        return day_of_date(date.fromisoformat(text))
    except ValueError:
        raise _malformed(text) from None


def _malformed(text: str) -> InvalidArgument:
    return InvalidArgument(
        "TIME_MALFORMED", f"{text[:TIME_TEXT_CHARS_MAX]!r} is not an RFC 3339 time such as '2013-01-31T10:00:00Z'."
    )
