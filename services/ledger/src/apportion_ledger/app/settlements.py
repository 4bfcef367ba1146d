"""Lists of payouts."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from apportion_common.db.unit_of_work import Database
from apportion_common.ids import parse_uuid
from apportion_common.pages import page_size, read_token, split_page

from apportion_ledger import errors
from apportion_ledger.domain.settlements import Settlement
from apportion_ledger.store.settlements import SettlementStore
from apportion_ledger.store.terms import TermsStore


class Settlements:
    """Reads payouts."""

    def __init__(self, database: Database, settlements: SettlementStore, terms: TermsStore) -> None:
        self._database = database
        self._settlements = settlements
        self._terms = terms

    async def page(
        self, partner_id: UUID | None, kind: str | None, size: int, token: str
    ) -> tuple[Sequence[Settlement], str]:
        """Return a page of payouts by id, and the token of the next one (empty after the last).

        Size 0 is the default. Raises InvalidArgument PAGE_TOKEN_MALFORMED, NotFound PARTNER_NOT_FOUND.
        """
        size, after = page_size(size), read_token(token, parse_uuid)
        async with self._database.read(snapshot=True) as connection:
            if partner_id is not None and await self._terms.partner(connection, partner_id) is None:
                raise errors.partner_not_found(partner_id)
            found = await self._settlements.page(connection, partner_id, kind, after, size + 1)
        return split_page(found, size, lambda settlement: (settlement.settlement_id,))
