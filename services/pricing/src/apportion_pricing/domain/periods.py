"""Periods: calendar months in UTC, half-open, as microseconds since 1970 (spec 00, "Period and time")."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final

from apportion_common.errors import OutOfRange

DAY_US: Final = 86_400_000_000
FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2100

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_FIRST_DAY: Final = date(FIRST_YEAR, 1, 1).toordinal() - _EPOCH_DAY
_END_DAY: Final = date(LAST_YEAR + 1, 1, 1).toordinal() - _EPOCH_DAY


@dataclass(frozen=True, slots=True)
class Period:
    """A month: its key (`2013-01`), its first microsecond and the first one after it."""

    key: str
    start_us: int
    end_us: int

    @property
    def last_us(self) -> int:
        """The period's last microsecond: the date of base, minimum and maximum lines (spec 03)."""
        return self.end_us - 1


def period_of(at_us: int) -> Period:
    """The period that the instant falls in. OutOfRange TIME_OUT_OF_RANGE outside the years 2000 to 2100."""
    return _period_of_day(at_us // DAY_US)


def is_period_start(at_us: int) -> bool:
    """Whether the instant is the first microsecond of a period."""
    return period_of(at_us).start_us == at_us


@lru_cache(maxsize=4096)
def _period_of_day(day: int) -> Period:
    if not _FIRST_DAY <= day < _END_DAY:
        raise _out_of_range()
    month = date.fromordinal(day + _EPOCH_DAY).replace(day=1)
    following = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    start, end = (d.toordinal() - _EPOCH_DAY for d in (month, following))
    return Period(f"{month.year:04d}-{month.month:02d}", start * DAY_US, end * DAY_US)


def _out_of_range() -> OutOfRange:
    return OutOfRange("TIME_OUT_OF_RANGE", f"Times lie in the years {FIRST_YEAR} to {LAST_YEAR}, UTC.")
