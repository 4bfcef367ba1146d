"""The monthly partitions of ledger_line."""

from __future__ import annotations

from typing import Final

from apportion_common.db.unit_of_work import Transaction
from sqlalchemy import text

_ADD: Final = text(
    """
    SELECT ledger_line_add_month((date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC')
        + make_interval(months => :ahead))::date)
    """
)


class PartitionStore:
    """Adds months; the database's function does it as the tables' owner."""

    async def add(self, tx: Transaction, ahead: int) -> str | None:
        """Add the partition of the month that is `ahead` months from now; return its name unless it exists."""
        name: str | None = (await tx.execute(_ADD, {"ahead": ahead})).scalar_one()
        return name
