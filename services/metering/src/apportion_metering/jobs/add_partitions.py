"""Keep the partitions of the coming months ahead of their first event."""

from __future__ import annotations

import asyncio

from apportion_common.faults import classify
from apportion_common.logs import get_logger
from apportion_common.periodic import run_periodically

from apportion_metering.app.partitions import Partitions
from apportion_metering.limits import PARTITION_CHECK_S

log = get_logger(__name__)


class PartitionJob:
    """Adds months periodically."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    async def try_once(self) -> None:
        """Add the months that are missing; while the database is away, only log it."""
        try:
            await self.round()
        except Exception as error:
            if classify(error) != "infrastructure":
                raise
            _database_away(error)

    async def run(self, stop: asyncio.Event) -> None:
        """Look again every PARTITION_CHECK_S until `stop` is set."""
        await run_periodically(self.round, PARTITION_CHECK_S, stop, on_failure=_database_away)

    async def round(self) -> int:
        """Add the months that are missing; return how many."""
        return len(await self._partitions.ensure())


def _database_away(error: Exception) -> None:
    log.warning("metering.partitions.retry", error=type(error).__name__)
