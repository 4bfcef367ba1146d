"""A point below which no line can appear any more, however late a transaction commits."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from apportion_common.db.unit_of_work import Database
from apportion_common.period_closes import PeriodCloses
from apportion_common.topology import LANES

from apportion_ledger import errors
from apportion_ledger.limits import WATERMARK_POLL_MS, WATERMARK_WAIT_MS
from apportion_ledger.store.period_closes import PeriodCloseStore
from apportion_ledger.store.watermarks import WatermarkStore

_POLLS: Final = WATERMARK_WAIT_MS // WATERMARK_POLL_MS


class ReopenedOrg(NamedTuple):
    """An organisation for which the period was reopened, the number of the last time, and whether it closed again."""

    org_id: UUID
    reopening: int
    closed: bool


class Watermark(NamedTuple):
    """The point, and what is closed below it."""

    watermark: int
    period_closed: bool
    closed_org_ids: Sequence[UUID]
    reopened: Sequence[ReopenedOrg]


class Watermarks:
    """Fixes watermarks."""

    def __init__(self, database: Database, watermarks: WatermarkStore, closes: PeriodCloseStore) -> None:
        self._database = database
        self._watermarks = watermarks
        self._closes = closes

    async def fix(self, period: str) -> Watermark:
        """Wait until every transaction in progress at the call is over; then nothing below the watermark changes.

        The largest id would not do: a transaction that took its id earlier may commit later. Raises Unavailable
        WATERMARK_BUSY after WATERMARK_WAIT_MS.
        """
        async with self._database.transaction() as tx:
            target = await self._watermarks.own(tx)
        for _ in range(_POLLS):
            async with self._database.read() as connection:
                watermark = await self._watermarks.oldest_running(connection)
                if watermark >= target:
                    lanes = await self._closes.closes(connection, period, watermark)
                    return _watermark(watermark, period, lanes.values())
            await asyncio.sleep(WATERMARK_POLL_MS / 1_000)
        raise errors.watermark_busy()


def _watermark(watermark: int, period: str, lanes: Collection[PeriodCloses]) -> Watermark:
    """Return a watermark with what the lanes that say anything of the period say of it."""
    closed_for_all = sum(closes.is_closed_for_all(period) for closes in lanes) == LANES
    singly = sorted(org_id for closes in lanes for org_id in closes.closed_singly(period))
    reopened = [
        ReopenedOrg(UUID(bytes=org_id), number, closes.is_closed(period, org_id))
        for closes in lanes
        for org_id, number in sorted(closes.reopenings(period).items())
    ]
    return Watermark(watermark, closed_for_all, [UUID(bytes=org_id) for org_id in singly], reopened)
