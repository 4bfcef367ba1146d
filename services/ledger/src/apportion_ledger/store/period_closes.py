"""Where the lanes have periods closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_ADD: Final = text(
    """
    INSERT INTO period_close (period, lane, org_id, pos)
    SELECT c.period, :lane, c.org_id, :pos
    FROM unnest(CAST(:periods AS text[]), CAST(:orgs AS uuid[])) AS c (period, org_id)
    ON CONFLICT DO NOTHING
    """
)
_CLOSED: Final = text(
    """
    SELECT lane, org_id FROM period_close
    WHERE period = :period AND posted_xid < CAST(:watermark AS xid8) ORDER BY org_id
    """
)


class PeriodCloseStore:
    """Closed periods per lane."""

    async def add(self, tx: Transaction, lane: int, batch_seq: int, closes: Sequence[tuple[str, bytes]]) -> None:
        """Add the closes (period, organisation or empty for all) of a lane's batch; an existing one stays."""
        await tx.execute(
            _ADD,
            {
                "lane": lane,
                "pos": batch_seq,
                "periods": [period for period, _ in closes],
                "orgs": [UUID(bytes=org_id) if org_id else None for _, org_id in closes],
            },
        )

    async def closed(self, connection: AsyncConnection, period: str, watermark: int) -> tuple[int, list[UUID]]:
        """Return how many lanes have the period closed for everyone, and who has it closed singly, below it."""
        rows = (await connection.execute(_CLOSED, {"period": period, "watermark": str(watermark)})).all()
        lanes = {row.lane for row in rows if row.org_id is None}
        return len(lanes), [row.org_id for row in rows if row.org_id is not None]
