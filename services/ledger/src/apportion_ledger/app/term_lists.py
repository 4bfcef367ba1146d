"""Lists of partners, tiers, rates and partners of record, and partners found by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from apportion_common.db.unit_of_work import Database
from apportion_common.names import NameMatch, look_up
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_ledger import errors
from apportion_ledger.domain.attribution import PorSubject
from apportion_ledger.domain.partners import Partner, PartnerOfRecord, PartnerTier, RateOfTier, RateQuery
from apportion_ledger.store.term_lists import TermListStore


class TermLists:
    """Reads the terms that lines are decided under."""

    def __init__(self, database: Database, lists: TermListStore) -> None:
        """Read this store."""
        self._database = database
        self._lists = lists

    async def look_up(self, names: Sequence[str]) -> list[NameMatch[Partner]]:
        """Return the partners of each name or id."""
        async with self._database.read(snapshot=True) as connection:
            return await look_up(names, _Partners(self._lists, connection))

    async def partner(self, partner_id: UUID, at_us: int) -> tuple[Partner, str]:
        """Return a partner and its tier at an instant, empty for none. Raises NotFound PARTNER_NOT_FOUND."""
        async with self._database.read(snapshot=True) as connection:
            found = await self._require(connection, partner_id)
            return found, await self._lists.tier_at(connection, partner_id, at_us)

    async def partners(self, search: str, after: UUID | None, limit: int) -> Sequence[Partner]:
        """Return partners by id; with a text in their name, or all."""
        async with self._database.read() as connection:
            return await self._lists.partners(connection, search, after, limit)

    async def tiers(self, partner_id: UUID | None, after: tuple[UUID, int] | None, limit: int) -> Sequence[PartnerTier]:
        """Return the tiers of a partner, or of all. Raises NotFound PARTNER_NOT_FOUND."""
        async with self._database.read(snapshot=True) as connection:
            if partner_id is not None:
                await self._require(connection, partner_id)
            return await self._lists.tiers(connection, partner_id, after, limit)

    async def rates(self, query: RateQuery, after: UUID | None, limit: int) -> Sequence[RateOfTier]:
        """Return the rates that were ever set, by id."""
        async with self._database.read() as connection:
            return await self._lists.rates(connection, query, after, limit)

    async def partners_of_record(
        self,
        subject: tuple[PorSubject, UUID] | None,
        partner_id: UUID | None,
        at_us: int | None,
        after: UUID | None,
        limit: int,
    ) -> Sequence[PartnerOfRecord]:
        """Return the assignments of a subject, of a partner and at an instant. Raises NotFound PARTNER_NOT_FOUND."""
        async with self._database.read(snapshot=True) as connection:
            if partner_id is not None:
                await self._require(connection, partner_id)
            return await self._lists.partners_of_record(connection, subject, partner_id, at_us, after, limit)

    async def _require(self, connection: AsyncConnection, partner_id: UUID) -> Partner:
        found = await self._lists.partners_by_ids(connection, [partner_id])
        if not found:
            raise errors.partner_not_found(partner_id)
        return found[0]


@dataclass(frozen=True, slots=True)
class _Partners:
    """Partners, which are found by name."""

    store: TermListStore
    connection: AsyncConnection

    async def by_ids(self, ids: Sequence[UUID]) -> Sequence[Partner]:
        return await self.store.partners_by_ids(self.connection, ids)

    async def by_names(self, names: Sequence[str]) -> Sequence[Partner]:
        return await self.store.partners_by_names(self.connection, names)

    async def names_near(self, name: str) -> Sequence[str]:
        return await self.store.partner_names_near(self.connection, name)

    def id_of(self, one: Partner) -> UUID:
        return one.partner_id

    def names_of(self, one: Partner) -> Sequence[str]:
        return (one.name,)
