"""A clock that tests move by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from apportion_common.instants import us_of_datetime


class FixedClock:
    """A clock that stands until it is moved."""

    def __init__(self, at: datetime) -> None:
        """Stand at `at`, a time with a zone."""
        self._at = at.astimezone(UTC)

    def now(self) -> datetime:
        """Return the time it stands at, in UTC."""
        return self._at

    def now_us(self) -> int:
        """Return the time it stands at, in microseconds since 1970-01-01 UTC."""
        return us_of_datetime(self._at)

    def advance(self, by: timedelta) -> None:
        """Move by that much."""
        self._at += by
