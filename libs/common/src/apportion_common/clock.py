"""The only place where the time of day is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


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
        return (datetime.now(UTC) - _EPOCH) // _MICROSECOND


class FixedClock:
    """A clock for tests: it stands until it is moved."""

    def __init__(self, at: datetime) -> None:
        """Stand at `at`, a time with a zone."""
        self._at = at.astimezone(UTC)

    def now(self) -> datetime:
        """Return the time it stands at, in UTC."""
        return self._at

    def now_us(self) -> int:
        """Return the time it stands at, in microseconds since 1970-01-01 UTC."""
        return (self._at - _EPOCH) // _MICROSECOND

    def advance(self, by: timedelta) -> None:
        """Move by that much."""
        self._at += by
