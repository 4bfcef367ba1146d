"""Keep the partitions of the coming months ahead of their first event."""

from __future__ import annotations

import asyncio
import contextlib

from apportion_common.faults import classify
from apportion_common.logs import get_logger

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
            await self._partitions.ensure()
        except Exception as error:
            if classify(error) != "infrastructure":
                raise
            log.warning("metering.partitions.retry", error=type(error).__name__)

    async def run(self, stop: asyncio.Event) -> None:
        """Look again every PARTITION_CHECK_S until `stop` is set."""
        while not stop.is_set():
            await self.try_once()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.wait(), PARTITION_CHECK_S)
