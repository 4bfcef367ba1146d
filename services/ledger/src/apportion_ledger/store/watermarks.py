"""The database's transaction ids, which are the watermarks."""

from __future__ import annotations

from typing import Final

from apportion_common.db.unit_of_work import Transaction
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# A snapshot's xmax would not do: it is the first id that was not over, which may belong to a transaction in progress.
_OWN: Final = text("SELECT pg_current_xact_id()::text")
_OLDEST: Final = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")


class WatermarkStore:
    """Transaction ids, as the database assigns them."""

    async def own(self, tx: Transaction) -> int:
        """Return the transaction's own id: every one that was in progress with an id before it has a smaller one."""
        return int((await tx.execute(_OWN)).scalar_one())

    async def oldest_running(self, connection: AsyncConnection) -> int:
        """Return the oldest transaction id that is still in progress: all below it are over."""
        return int((await connection.execute(_OLDEST)).scalar_one())
