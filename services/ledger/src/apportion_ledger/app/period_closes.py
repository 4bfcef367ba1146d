"""Periods, as the lanes close them."""

from __future__ import annotations

from collections.abc import Sequence

from apportion_common.db.unit_of_work import Transaction

from apportion_ledger.store.period_closes import PeriodCloseStore


class PeriodCloses:
    """Records closes in the transaction of their lane."""

    def __init__(self, closes: PeriodCloseStore) -> None:
        self._closes = closes

    async def record(self, tx: Transaction, lane: int, batch_seq: int, closes: Sequence[tuple[str, bytes]]) -> None:
        """Record the closes (period, organisation or empty for all) that came with a lane's batch."""
        await self._closes.add(tx, lane, batch_seq, closes)
