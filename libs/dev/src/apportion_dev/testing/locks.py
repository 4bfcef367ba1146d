"""See from outside that a transaction waits for a lock: how tests bring two of them into the order that they mean."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from apportion_dev.testing.databases import ServiceDatabase, fetch_all

PATIENCE_S: Final = 60
"""For what is sure to come; only a failure takes that long."""
POLL_S: Final = 0.01
_WAITING: Final = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
DEADLOCKS: Final = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
"""What the server has counted; a session hands in its own at its end, at the latest."""


async def until_it_waits(place: ServiceDatabase, task: asyncio.Task[Any]) -> None:
    """Return once a task's transaction waits for a lock of the database; nobody else waits for one there.

    Raises AssertionError when the task ends before, TimeoutError after PATIENCE_S.
    """
    async with asyncio.timeout(PATIENCE_S):
        # A role sees of its own sessions only what they wait for.
        while fetch_all(place.app_url, _WAITING) != [(1,)]:
            assert not task.done(), task
            await asyncio.sleep(POLL_S)
