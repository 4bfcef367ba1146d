"""Keep the partitions of the coming months ahead of their first line."""

from __future__ import annotations

import asyncio
import contextlib

from apportion_common.faults import classify
from apportion_common.logs import get_logger

from apportion_ledger.app.partitions import Partitions
from apportion_ledger.limits import PARTITION_CHECK_S, PARTITION_RETRY_S

log = get_logger(__name__)


class PartitionJob:
    """Adds months periodically."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    async def run(self, stop: asyncio.Event) -> None:
        """Keep ahead until `stop` is set. A failure is logged and retried: it must not stop the poster."""
        while not stop.is_set():
            pause_s = PARTITION_CHECK_S
            try:
                await self._partitions.ensure()
            except Exception as error:
                log.error("partition.failed", fault=classify(error), error=f"{type(error).__name__}: {error}"[:300])
                pause_s = PARTITION_RETRY_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)
