"""How long to wait between tries: exponentially longer, with full jitter, up to a named maximum.

    backoff = Backoff(limits.RETRY_FIRST_S, limits.RETRY_LAST_S)
    ...
    failures += 1
    await backoff.wait(failures)

Full jitter means that a wait lies anywhere between nothing and its bound: processes that failed together, because
what they all need went away, do not come back together.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

_DOUBLINGS_MAX: Final = 30
"""Beyond this a bound is at its maximum anyway; the power stays a small number."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """The waits of one kind of try; the caller counts its failures."""

    first_s: float
    """Bound of the wait after the first failure; doubled with each further one."""
    max_s: float
    """No bound is above this."""
    draw: Callable[[], float] = random.random
    """Return a number from 0 up to 1."""
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    """Wait so many seconds; `until_stopped` makes one that a stop ends."""

    def __post_init__(self) -> None:
        if not 0 < self.first_s <= self.max_s:
            raise ValueError("A back-off needs a first bound above zero and a maximum that is not below it.")

    def delay_s(self, failures: int) -> float:
        """Draw the wait after the failure of that number; 1 is the first."""
        doublings = min(max(failures - 1, 0), _DOUBLINGS_MAX)
        return min(self.first_s * (1 << doublings), self.max_s) * self.draw()

    async def wait(self, failures: int) -> None:
        """Wait after the failure of that number."""
        await self.sleep(self.delay_s(failures))


def until_stopped(stop: asyncio.Event) -> Callable[[float], Awaitable[None]]:
    """Return a sleep that ends when `stop` is set."""

    async def sleep(wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await stop.wait()
        except TimeoutError:
            return

    return sleep
