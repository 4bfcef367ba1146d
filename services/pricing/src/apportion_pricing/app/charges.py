"""Charges, as they were rated."""

from __future__ import annotations

from apportion_common.db.unit_of_work import Database

from apportion_pricing.domain.records import ChargeCursor, ChargeRecord
from apportion_pricing.store.charges import ChargeStore


class Charges:
    """What may be asked of stored charges."""

    def __init__(self, database: Database, store: ChargeStore) -> None:
        """Read the service's database."""
        self._database = database
        self._store = store

    async def page(self, org_id: bytes | None, after: ChargeCursor | None, limit: int) -> list[ChargeRecord]:
        """Return at most `limit` charges of an organisation, or of all, after a cursor, in the order of rating."""
        async with self._database.read() as connection:
            return await self._store.page(connection, org_id, after, limit)
