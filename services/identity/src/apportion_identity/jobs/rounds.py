"""Work that is done in rounds beside what the service serves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from apportion_common.faults import classify


async def in_rounds(
    stop: asyncio.Event,
    work: Callable[[], Awaitable[int]],
    *,
    full: int,
    every_s: float,
    on_failure: Callable[[Exception], None],
) -> None:
    """Do rounds until `stop` is set: the next one at once after a full one, else in `every_s`.

    `work` does a round, and gives how much there was to do. A failure of the surroundings is told to `on_failure` and
    waited out; another error is raised.
    """
    while not stop.is_set():
        pause_s = every_s
        try:
            if await work() == full:
                pause_s = 0
        except Exception as error:
            if classify(error) != "infrastructure":
                raise
            on_failure(error)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause_s)
