"""Closes of periods in lanes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from apportion_pricing.store import tables


class ClosedPeriod(NamedTuple):
    """A period's close in a lane, for one organisation or all of the lane (None)."""

    period: str
    org_id: bytes | None
    batch_seq: int
    entry_seq: int


class PeriodCloseStore:
    """The table period_close."""

    async def closed(self, tx: Transaction, lane: int) -> Iterable[tuple[str, bytes | None]]:
        """Return the periods closed in a lane, each with its organisation or None for all."""
        table = tables.period_close
        rows = await tx.execute(select(table.c.period, table.c.org_id).where(table.c.lane == lane))
        return [(row.period, row.org_id.bytes if row.org_id is not None else None) for row in rows]

    async def write(self, tx: Transaction, lane: int, closed: Sequence[ClosedPeriod]) -> None:
        """Store period closes; one that is there already stays as it was."""
        rows = [
            {
                "period": item.period,
                "lane": lane,
                "org_id": UUID(bytes=item.org_id) if item.org_id is not None else None,
                "pos": item.batch_seq,
                "seq": item.entry_seq,
            }
            for item in closed
        ]
        await tx.execute(insert(tables.period_close).on_conflict_do_nothing(), rows)
