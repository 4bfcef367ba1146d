"""Lists of payouts."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from apportion_common.db.unit_of_work import Database
from apportion_common.ids import parse_uuid
from apportion_common.pages import page_size, read_token, split_page

from apportion_ledger.domain.settlements import Settlement
from apportion_ledger.store.settlements import SettlementStore


class Settlements:
    """Reads payouts."""

    def __init__(self, database: Database, settlements: SettlementStore) -> None:
        self._database = database
        self._settlements = settlements

    async def page(
        self, partner_id: UUID | None, kind: str | None, size: int, token: str
    ) -> tuple[Sequence[Settlement], str]:
        """Return a page of payouts by id, and the token of the next one (empty after the last).

        Size 0 is the default. Raises InvalidArgument PAGE_TOKEN_MALFORMED.
        """
        size, after = page_size(size), read_token(token, parse_uuid)
        async with self._database.read() as connection:
            found = await self._settlements.page(connection, partner_id, kind, after, size + 1)
        return split_page(found, size, lambda settlement: (settlement.settlement_id,))
