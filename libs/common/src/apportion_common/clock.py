"""The only place where the time of day is read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from apportion_common.instants import us_of_datetime


class Clock(Protocol):
    """Tells the time of day; whatever needs it takes one of these."""

    def now(self) -> datetime:
        """Return the current time, in UTC."""
        ...

    def now_us(self) -> int:
        """Return the current time in microseconds since 1970-01-01 UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current time, in UTC."""
        return datetime.now(UTC)

    def now_us(self) -> int:
        """Return the current time in microseconds since 1970-01-01 UTC."""
        return us_of_datetime(datetime.now(UTC))
