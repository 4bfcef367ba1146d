"""Have the partitions of the coming months before their first line."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

from apportion_common.faults import classify
from apportion_common.logs import get_logger

from apportion_ledger.limits import PARTITION_CHECK_S, PARTITION_MONTHS_AHEAD, PARTITION_RETRY_S

log = get_logger(__name__)


class MonthPartitions(Protocol):
    """Where months are added."""

    async def ensure(self, ahead: int) -> str | None: ...


class PartitionKeeper:
    """Adds months ahead of time. A line without its month lands in the default partition: nothing waits for this."""

    def __init__(self, partitions: MonthPartitions) -> None:
        self._partitions = partitions

    async def ensure(self) -> None:
        """Have the current month and those ahead."""
        for ahead in range(PARTITION_MONTHS_AHEAD + 1):
            name = await self._partitions.ensure(ahead)
            if name is not None:
                log.info("partition.added", name=name)

    async def run(self, stop: asyncio.Event) -> None:
        """Keep ahead until `stop` is set. A failure is logged and tried again: it must not stop the poster."""
        while not stop.is_set():
            pause_s = PARTITION_CHECK_S
            try:
                await self.ensure()
            except Exception as error:
                log.error("partition.failed", fault=classify(error), error=f"{type(error).__name__}: {error}"[:300])
                pause_s = PARTITION_RETRY_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)
