"""Where the lanes have periods closed, and the transaction ids below which no line can appear any more."""

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
# A snapshot's xmax would not do: it is the first id that was not over, which may belong to a transaction in progress.
_OWN: Final = text("SELECT pg_current_xact_id()::text")
_OLDEST: Final = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")
_CLOSED: Final = text(
    """
    SELECT lane, org_id FROM period_close
    WHERE period = :period AND posted_xid < CAST(:horizon AS xid8) ORDER BY org_id
    """
)


class PeriodTable:
    """Closed periods per lane."""

    async def add(self, tx: Transaction, lane: int, batch_seq: int, closes: Sequence[tuple[str, bytes]]) -> None:
        """Note the closes (period, organisation or empty for all) that came at `pos`; one noted before stands."""
        await tx.execute(
            _ADD,
            {
                "lane": lane,
                "pos": batch_seq,
                "periods": [period for period, _ in closes],
                "orgs": [UUID(bytes=org_id) if org_id else None for _, org_id in closes],
            },
        )


class WatermarkTable:
    """Transaction ids as the database gives them out, and what is closed below one."""

    async def own(self, tx: Transaction) -> int:
        """The transaction's own id: every one that was in progress with an id before it has a smaller one."""
        return int((await tx.execute(_OWN)).scalar_one())

    async def oldest_running(self, connection: AsyncConnection) -> int:
        """The oldest transaction id that is still in progress: all below it are over."""
        return int((await connection.execute(_OLDEST)).scalar_one())

    async def closed(self, connection: AsyncConnection, period: str, watermark: int) -> tuple[int, list[UUID]]:
        """How many lanes have the period closed for everyone, and who has it closed singly, below the watermark."""
        rows = (await connection.execute(_CLOSED, {"period": period, "horizon": str(watermark)})).all()
        lanes = {row.lane for row in rows if row.org_id is None}
        return len(lanes), [row.org_id for row in rows if row.org_id is not None]
