"""Ending tasks for certain."""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypeVar

T = TypeVar("T")

CANCEL_AGAIN_S: Final = 1.0
"""How long a cancelled task has to end before it is cancelled once more."""


async def cancel_and_wait(task: asyncio.Task[Any]) -> None:
    """Cancel a task and return when it has ended, however it ended; its error is taken, not raised.

    One cancellation may be lost: until Python 3.12 `asyncio.wait_for` drops it when what it waits for is done at the
    same moment. A task that works in a loop would then go on forever, and whoever awaits it with it. So it is
    cancelled again until it is over.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)
    if not task.cancelled():
        task.exception()


async def until_done(task: asyncio.Task[T]) -> T:
    """Return what a task returns, or raise what it raises; a cancellation is raised when the task has ended.

    For what has to come to its end once it was begun. The task itself sees to it that it ends.
    """
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        task.exception()
    raise cancelled
