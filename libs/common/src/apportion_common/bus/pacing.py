"""Waiting between tries, in a way that a stop ends at once."""

from __future__ import annotations

import asyncio
from typing import Final

FIRST_RETRY_MS: Final = 200
LAST_RETRY_MS: Final = 30_000


def backoff_ms(attempt: int, first_ms: int = FIRST_RETRY_MS, last_ms: int = LAST_RETRY_MS) -> int:
    """The wait after the `attempt`-th failure (1 is the first): doubled each time, up to `last_ms`."""
    doublings = min(max(attempt - 1, 0), 30)
    return min(first_ms << doublings, last_ms)


async def pause(stop: asyncio.Event, wait_ms: int) -> None:
    """Wait that long, or until `stop` is set."""
    try:
        async with asyncio.timeout(wait_ms / 1_000):
            await stop.wait()
    except TimeoutError:
        return
