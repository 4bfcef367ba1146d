"""Rate limits: token buckets in the process's memory, one per key, of a bounded number of keys.

    claims = RateLimit("new claims", capacity=20, refill_per_s=1 / 60, clock=clock, max_keys=10_000)
    claims.take(caller.subject, reason="CLAIM_RATE_LIMITED")

Each process counts for itself: with n replicas a caller gets up to n times as much. That is what a brake on guessing
and on load needs; what must be exact (a daily cap) is counted in the database instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from cachetools import TTLCache

from apportion_common.clock import Clock
from apportion_common.errors import ResourceExhausted

_US_PER_S: Final = 1_000_000
_ONE: Final = 1 - 1e-9
"""Whoever waits as long as told succeeds in spite of rounding."""
OVERFLOW: Final = ""
"""The key whose bucket newcomers share while every place is taken: forgetting a spent bucket would refill it."""


@dataclass(slots=True)
class _Bucket:
    left: float
    at_us: int


class RateLimit:
    """A bucket of `capacity` tries per key that refills by `refill_per_s`."""

    def __init__(self, name: str, capacity: int, refill_per_s: float, clock: Clock, max_keys: int) -> None:
        """`name` says in the plural what is limited, such as "new claims". Raises ValueError for limits below zero."""
        if capacity < 1 or refill_per_s <= 0 or max_keys < 1:
            raise ValueError(f"The limit of {name} needs a capacity, a refill and a number of keys above zero.")
        self.name = name
        self._capacity = capacity
        self._refill_per_us = refill_per_s / _US_PER_S
        self._clock = clock
        self._max_keys = max_keys
        # A bucket that nobody used for as long as it takes to fill is like none. The place beyond the keys' own is the
        # overflow's, so that the cache never has to evict a bucket that is not full.
        self._buckets: TTLCache[str, _Bucket, int] = TTLCache(
            max_keys + 1, ttl=math.ceil(capacity / self._refill_per_us), timer=clock.now_us
        )

    def take(self, key: str, *, reason: str) -> None:
        """Take one try of `key`.

        Raises ResourceExhausted `reason`, with the whole seconds until there is one, when none is left.
        """
        bucket = self._bucket(key)
        if bucket.left < _ONE:
            wait_s = math.ceil((1 - bucket.left) / self._refill_per_us / _US_PER_S)
            raise ResourceExhausted(
                reason, f"There were too many {self.name}; try again later.", retry_after_s=max(wait_s, 1)
            )
        bucket.left -= 1

    def give_back(self, key: str) -> None:
        """Undo one `take` of `key`: what it was taken for turned out to be none of what is limited."""
        bucket = self._bucket(key)
        bucket.left = min(bucket.left + 1, float(self._capacity))

    def is_spent(self, key: str) -> bool:
        """Return whether a `take` of `key` would be refused just now; a key that never took anything leaves no
        trace.
        """
        return key in self._buckets and self._bucket(key).left < _ONE

    def _bucket(self, key: str) -> _Bucket:
        """Return the key's bucket, refilled up to now."""
        now_us = self._clock.now_us()
        bucket = self._buckets.get(key)
        if bucket is None:
            if key != OVERFLOW and not self._has_room():
                return self._bucket(OVERFLOW)
            bucket = _Bucket(float(self._capacity), now_us)
        else:
            # A clock set back refills nothing, and counts from where it stands now.
            passed_us = max(now_us - bucket.at_us, 0)
            bucket.left = min(bucket.left + passed_us * self._refill_per_us, float(self._capacity))
            bucket.at_us = now_us
        self._buckets[key] = bucket  # Again, if it was there: its time begins now.
        return bucket

    def _has_room(self) -> bool:
        """Return whether one more key has a place, after forgetting those whose buckets are full by now."""
        self._buckets.expire()
        return len(self._buckets) - (OVERFLOW in self._buckets) < self._max_keys
