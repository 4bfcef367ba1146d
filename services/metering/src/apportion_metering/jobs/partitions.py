"""Monthly partitions of metering_event, made ahead of their time."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import date
from typing import Final

from apportion_common.clock import Clock
from apportion_common.db.unit_of_work import Database
from apportion_common.faults import classify
from apportion_common.logs import get_logger
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from apportion_metering.limits import PARTITION_CHECK_S, PARTITION_MONTHS_AHEAD

log = get_logger(__name__)

_ADD: Final = text("SELECT metering_event_add_month(:month)")


class Partitions:
    """Keeps the current month and PARTITION_MONTHS_AHEAD more ready; what has none lies in the DEFAULT partition."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def ensure(self) -> list[str]:
        """Make the partitions that are missing, each in a transaction of its own; gives their names."""
        made = []
        today = self._clock.now().date()
        for ahead in range(PARTITION_MONTHS_AHEAD + 1):
            years, month = divmod(today.month - 1 + ahead, 12)
            first = date(today.year + years, month + 1, 1)
            try:
                async with self._database.transaction() as tx:
                    name = (await tx.execute(_ADD, {"month": first})).scalar_one()
            except IntegrityError:
                # Rows of that month lie in the DEFAULT partition already; there they stay, and are found.
                log.warning("metering.partition.skipped", month=first.isoformat())
                continue
            if name is not None:
                made.append(name)
        if made:
            log.info("metering.partitions.made", partitions=made)
        return made

    async def run(self, stop: asyncio.Event) -> None:
        """Look again every PARTITION_CHECK_S until `stop` is set."""
        while not stop.is_set():
            try:
                await self.ensure()
            except Exception as error:
                if classify(error) != "infrastructure":
                    raise
                log.warning("metering.partitions.retry", error=type(error).__name__)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.wait(), PARTITION_CHECK_S)
