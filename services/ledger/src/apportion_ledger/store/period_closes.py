"""Where the lanes have periods closed and opened again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from apportion_common.period_closes import PeriodChange, PeriodCloses
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_ADD: Final = text(
    """
    INSERT INTO period_close (period, lane, org_id, pos, ordinal, reopening)
    SELECT c.period, :lane, c.org_id, :pos, c.ordinal - 1, c.reopening
    FROM unnest(CAST(:periods AS text[]), CAST(:orgs AS uuid[]), CAST(:reopenings AS int[]))
        WITH ORDINALITY AS c (period, org_id, reopening, ordinal)
    """
)
_CHANGES: Final = text(
    """
    SELECT lane, org_id, reopening FROM period_close
    WHERE period = :period AND posted_xid < CAST(:watermark AS xid8) ORDER BY lane, pos, ordinal
    """
)


class PeriodCloseStore:
    """Closed and reopened periods per lane."""

    async def add(self, tx: Transaction, lane: int, batch_seq: int, changes: Sequence[PeriodChange]) -> None:
        """Add what a lane's batch says of periods, in its order."""
        await tx.execute(
            _ADD,
            {
                "lane": lane,
                "pos": batch_seq,
                "periods": [change.period for change in changes],
                "orgs": [UUID(bytes=change.org_id) if change.org_id else None for change in changes],
                "reopenings": [change.reopening for change in changes],
            },
        )

    async def closes(self, connection: AsyncConnection, period: str, watermark: int) -> Mapping[int, PeriodCloses]:
        """Return what each lane says of a period below a watermark; a lane that says nothing is left out."""
        lanes: defaultdict[int, PeriodCloses] = defaultdict(PeriodCloses)
        for row in await connection.execute(_CHANGES, {"period": period, "watermark": str(watermark)}):
            org_id = row.org_id.bytes if row.org_id is not None else None
            lanes[row.lane].apply(PeriodChange(period, org_id, row.reopening))
        return lanes
