"""Work that a service does again and again beside what it serves."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

from apportion_common.faults import classify


async def run_periodically(
    work: Callable[[], Awaitable[int]],
    every_s: float,
    stop: asyncio.Event,
    *,
    on_failure: Callable[[Exception], None],
    full: int | None = None,
    retry_s: float | None = None,
    jitter: float = 0.0,
    idle_s: float | None = None,
) -> None:
    """Run `work` until `stop` is set: after a full round again at once, else `every_s` later.

    `work` returns how much there was to do; it is a full round when that is `full`. The pause is shortened at random,
    by the share `jitter` of it at most, so that many processes do not work in step. With `idle_s` the pause doubles up
    to that while there is nothing to do. An infrastructure failure is passed to `on_failure` and waited out for
    `retry_s` (the usual pause when None); another error is raised.
    """
    wait_s = every_s
    while not stop.is_set():
        share = random.uniform(1.0 - jitter, 1.0)
        try:
            done = await work()
            wait_s = every_s if done or idle_s is None else min(wait_s * 2, idle_s)
            pause_s = 0 if done == full else wait_s * share
        except Exception as error:
            if classify(error) != "infrastructure":
                raise
            on_failure(error)
            pause_s = every_s * share if retry_s is None else retry_s
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause_s)
