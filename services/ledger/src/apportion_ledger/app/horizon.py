"""A point below which no line can appear any more (the ledger facts on late commits)."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple
from uuid import UUID

from apportion_common.db.unit_of_work import Database
from apportion_common.ids import LANES

from apportion_ledger import errors
from apportion_ledger.app.ports import HorizonStore
from apportion_ledger.limits import HORIZON_POLL_MS, HORIZON_WAIT_MS

_POLLS: Final = HORIZON_WAIT_MS // HORIZON_POLL_MS


class Horizon(NamedTuple):
    """The point, and what is closed below it."""

    horizon: int
    period_closed: bool
    closed_org_ids: list[UUID]


class Horizons:
    """Fixes horizons."""

    def __init__(self, database: Database, store: HorizonStore) -> None:
        self._database = database
        self._store = store

    async def fix(self, period: str) -> Horizon:
        """Wait until every transaction in progress at the call is over; then nothing below the horizon changes.

        The largest id would not do: a transaction that took its id earlier may commit later. Raises Unavailable
        HORIZON_BUSY after HORIZON_WAIT_MS.
        """
        async with self._database.transaction() as tx:
            target = await self._store.own(tx)
        for _ in range(_POLLS):
            async with self._database.read() as connection:
                horizon = await self._store.oldest_running(connection)
                if horizon >= target:
                    lane_count, org_ids = await self._store.closed(connection, period, horizon)
                    return Horizon(horizon, lane_count == LANES, org_ids)
            await asyncio.sleep(HORIZON_POLL_MS / 1_000)
        raise errors.horizon_busy()
