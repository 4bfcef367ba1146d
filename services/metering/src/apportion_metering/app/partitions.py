"""Monthly partitions of metering_event, made ahead of their time."""

from __future__ import annotations

from datetime import date

from apportion_common.clock import Clock
from apportion_common.db.unit_of_work import Database
from apportion_common.logs import get_logger

from apportion_metering.limits import PARTITION_MONTHS_AHEAD
from apportion_metering.store.partitions import MonthInDefault, PartitionStore

log = get_logger(__name__)


class Partitions:
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
