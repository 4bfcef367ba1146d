"""Say the same thing seldom: a fault that many parts meet again and again is one line in a while, not a flood."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Final

SAID_AGAIN_AFTER_S: Final = 60.0
KEYS_MAX: Final = 1_000
"""Things that are remembered as said; with more all may be said again."""


class Seldom:
    """Remembers what was said, and what was left unsaid since."""

    def __init__(self, every_s: float = SAID_AGAIN_AFTER_S) -> None:
        """Let the same thing be said once in so many seconds."""
        self._every_s = every_s
        self._said_at: dict[Hashable, float] = {}
        self._unsaid: dict[Hashable, int] = {}

    def may_say(self, key: Hashable) -> int | None:
        """Return how often this was left unsaid since it was said last, if it may be said now; None if not."""
        now = asyncio.get_running_loop().time()
        said_at = self._said_at.get(key)
        if said_at is not None and now - said_at < self._every_s:
            self._unsaid[key] = self._unsaid.get(key, 0) + 1
            return None
        if len(self._said_at) >= KEYS_MAX:
            self._said_at.clear()
            self._unsaid.clear()
        self._said_at[key] = now
        return self._unsaid.pop(key, 0)
