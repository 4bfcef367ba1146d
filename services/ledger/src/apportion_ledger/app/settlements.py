"""Lists of payouts."""

from __future__ import annotations

from uuid import UUID

from apportion_common.db.unit_of_work import Database

from apportion_ledger.app.ports import Settlement, SettlementReader
from apportion_ledger.limits import PAGE_SIZE_DEFAULT


class Settlements:
    """Reads payouts."""

    def __init__(self, database: Database, reader: SettlementReader) -> None:
        self._database = database
        self._reader = reader

    async def page(
        self, partner_id: UUID | None, kind: str | None, page_size: int, after: UUID | None
    ) -> tuple[list[Settlement], UUID | None]:
        """A page of payouts by id, and the place of the next one (None after the last). Size 0 is the default."""
        size = page_size or PAGE_SIZE_DEFAULT
        async with self._database.read() as connection:
            found = await self._reader.page(connection, partner_id, kind, after, size + 1)
        return found[:size], found[size - 1].settlement_id if len(found) > size else None
