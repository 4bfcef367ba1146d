"""The months of the lines, added before their first line."""

from __future__ import annotations

from apportion_common.db.unit_of_work import Database
from apportion_common.logs import get_logger

from apportion_ledger.limits import PARTITION_MONTHS_AHEAD
from apportion_ledger.store.partitions import PartitionStore

log = get_logger(__name__)


class Partitions:
    """Adds months ahead of time: a line without its month is stored in the default partition."""

    def __init__(self, database: Database, partitions: PartitionStore) -> None:
        self._database = database
        self._partitions = partitions

    async def ensure(self) -> None:
        """Add those of the current month and the months ahead that are missing."""
        for ahead in range(PARTITION_MONTHS_AHEAD + 1):
            async with self._database.transaction() as tx:
                name = await self._partitions.add(tx, ahead)
            if name is not None:
                log.info("partition.added", name=name)
