"""Event times: RFC 3339 text or (seconds, nanos), to microseconds since 1970 UTC."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import Final

from apportion_common.errors import InvalidArgument, OutOfRange

FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2100
MAX_TIME_CHARS: Final = 40
"""Longest text of a time that is looked at."""

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_DAY_S: Final = 86_400
_FIRST_US: Final = (date(FIRST_YEAR, 1, 1).toordinal() - _EPOCH_DAY) * _DAY_S * 1_000_000
_END_US: Final = (date(LAST_YEAR + 1, 1, 1).toordinal() - _EPOCH_DAY) * _DAY_S * 1_000_000
_TEXT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)


def parse_time(text: str) -> int:
    """An RFC 3339 time with `Z` or an offset, as microseconds since 1970 UTC.

    Raises InvalidArgument TIME_MALFORMED (leap seconds and local times too), TIME_TOO_PRECISE (finer than a
    microsecond), OutOfRange TIME_OUT_OF_RANGE (outside the years 2000 to 2100, UTC).
    """
    match = _TEXT.fullmatch(text) if len(text) <= MAX_TIME_CHARS else None
    if match is None:
        raise _malformed(text)
    day, hour, minute, second, fraction, sign, offset_hour, offset_minute = match.groups()
    seconds = _day_of(day) * _DAY_S + int(hour) * 3600 + int(minute) * 60 + int(second)
    if sign is not None:
        offset = int(offset_hour) * 3600 + int(offset_minute) * 60
        seconds += offset if sign == "-" else -offset
    return time_of(seconds, int(fraction.ljust(9, "0")) if fraction else 0)


def time_of(seconds: int, nanos: int) -> int:
    """Microseconds since 1970 UTC of a timestamp's seconds and nanos. Raises as `parse_time`."""
    if not 0 <= nanos < 1_000_000_000:
        raise InvalidArgument("TIME_MALFORMED", "A timestamp's nanos lie between 0 and 999,999,999.")
    micros, finer = divmod(nanos, 1000)
    if finer:
        raise InvalidArgument("TIME_TOO_PRECISE", "Times have at most microseconds.")
    return check_time(seconds * 1_000_000 + micros)


def check_time(at_us: int) -> int:
    """`at_us` itself; OutOfRange TIME_OUT_OF_RANGE outside the years 2000 to 2100, UTC."""
    if not _FIRST_US <= at_us < _END_US:
        raise OutOfRange("TIME_OUT_OF_RANGE", f"Times lie in the years {FIRST_YEAR} to {LAST_YEAR}, UTC.")
    return at_us


@lru_cache(maxsize=1024)
def _day_of(text: str) -> int:
    try:
        return date.fromisoformat(text).toordinal() - _EPOCH_DAY
    except ValueError:
        raise _malformed(text) from None


def _malformed(text: str) -> InvalidArgument:
    return InvalidArgument(
        "TIME_MALFORMED", f"{text[:MAX_TIME_CHARS]!r} is not an RFC 3339 time such as '2013-01-31T10:00:00Z'."
    )
