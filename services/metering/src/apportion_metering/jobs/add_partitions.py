"""Monthly partitions of metering_event, made ahead of their time."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import date

from apportion_common.clock import Clock
from apportion_common.db.unit_of_work import Database
from apportion_common.faults import classify
from apportion_common.logs import get_logger

from apportion_metering.limits import PARTITION_CHECK_S, PARTITION_MONTHS_AHEAD
from apportion_metering.store.partitions import MonthInDefault, PartitionStore

log = get_logger(__name__)


class PartitionJob:
    """Keeps the current month and PARTITION_MONTHS_AHEAD more ready; what has none lies in the DEFAULT partition."""

    def __init__(self, database: Database, partitions: PartitionStore, clock: Clock) -> None:
        self._database = database
        self._partitions = partitions
        self._clock = clock

    async def ensure(self) -> list[str]:
        """Make the partitions that are missing, each in a transaction of its own; return their names."""
        made = []
        today = self._clock.now().date()
        for ahead in range(PARTITION_MONTHS_AHEAD + 1):
            years, month = divmod(today.month - 1 + ahead, 12)
            first = date(today.year + years, month + 1, 1)
            try:
                async with self._database.transaction() as tx:
                    name = await self._partitions.add_month(tx, first)
            except MonthInDefault:
                log.warning("metering.partition.skipped", month=first.isoformat())
                continue
            if name is not None:
                made.append(name)
        if made:
            log.info("metering.partitions.made", partitions=made)
        return made

    async def try_once(self) -> None:
        """As `ensure`; while the database is away, only log it."""
        try:
            await self.ensure()
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
