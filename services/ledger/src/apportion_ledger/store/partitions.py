"""The monthly partitions of ledger_line."""

from __future__ import annotations

from typing import Final

from apportion_common.db.unit_of_work import Database
from sqlalchemy import text

_ADD: Final = text(
    """
    SELECT ledger_line_add_month((date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC')
        + make_interval(months => :ahead))::date)
    """
)


class LinePartitions:
    """Adds months; the database's function does it as the tables' owner."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ensure(self, ahead: int) -> str | None:
        """Have the partition of the month that is `ahead` months from now; its name when it was made."""
        async with self._database.transaction() as tx:
            name: str | None = (await tx.execute(_ADD, {"ahead": ahead})).scalar_one()
            return name
