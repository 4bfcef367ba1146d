"""Closes and reopenings of periods in lanes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from apportion_common.period_closes import PeriodChange
from sqlalchemy import insert, select

from apportion_pricing.store import tables


class ClosedPeriod(NamedTuple):
    """A period's close or reopening at its place in a lane."""

    change: PeriodChange
    batch_seq: int
    entry_seq: int


class PeriodCloseStore:
    """The table period_close."""

    async def changes(self, tx: Transaction, lane: int) -> Iterable[PeriodChange]:
        """Return the closes and reopenings of a lane in their order."""
        columns = tables.period_close.c
        rows = await tx.execute(
            select(columns.period, columns.org_id, columns.reopening).where(columns.lane == lane).order_by(columns.seq)
        )
        return [
            PeriodChange(row.period, row.org_id.bytes if row.org_id is not None else None, row.reopening)
            for row in rows
        ]

    async def write(self, tx: Transaction, lane: int, closed: Sequence[ClosedPeriod]) -> None:
        """Store closes and reopenings, each at its place."""
        rows = [
            {
                "period": item.change.period,
                "lane": lane,
                "org_id": UUID(bytes=item.change.org_id) if item.change.org_id is not None else None,
                "reopening": item.change.reopening,
                "pos": item.batch_seq,
                "seq": item.entry_seq,
            }
            for item in closed
        ]
        await tx.execute(insert(tables.period_close), rows)
