"""Periods, as the lanes close them."""

from __future__ import annotations

from collections.abc import Sequence

from apportion_common.db.unit_of_work import Transaction
from apportion_common.period_closes import PeriodChange

from apportion_ledger.store.period_closes import PeriodCloseStore


class PeriodCloses:
    """Records closes and reopenings in the transaction of their lane."""

    def __init__(self, closes: PeriodCloseStore) -> None:
        self._closes = closes

    async def record(self, tx: Transaction, lane: int, batch_seq: int, changes: Sequence[PeriodChange]) -> None:
        """Record the closes and reopenings that came with a lane's batch."""
        await self._closes.add(tx, lane, batch_seq, changes)
