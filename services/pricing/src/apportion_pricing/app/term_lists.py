"""Lists of plans, their rows, assignments and engine modes, and plans found by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from apportion_common.db.unit_of_work import Database
from apportion_common.names import NameMatch, look_up
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_pricing import errors
from apportion_pricing.domain.records import AssignmentRecord, EngineModeRecord, PlanRecord
from apportion_pricing.domain.terms import PlanSkuRow
from apportion_pricing.store.term_lists import TermListStore


class TermLists:
    """Reads the terms that usage is rated under."""

    def __init__(self, database: Database, lists: TermListStore) -> None:
        """Read this store."""
        self._database = database
        self._lists = lists

    async def look_up(self, names: Sequence[str]) -> list[NameMatch[PlanRecord]]:
        """Return the plans of each name or id."""
        async with self._database.read(snapshot=True) as connection:
            return await look_up(names, _Plans(self._lists, connection))

    async def plans(self, search: str, after: str | None, limit: int) -> Sequence[PlanRecord]:
        """Return plans by name; with a text in it, or all."""
        async with self._database.read() as connection:
            return await self._lists.plans(connection, search, after, limit)

    async def plan_rows(
        self, plan_id: UUID, sku: str, after: tuple[str, int] | None, limit: int
    ) -> Sequence[PlanSkuRow]:
        """Return the rows that a plan ever had, by SKU and revision. Raises NotFound PLAN_NOT_FOUND."""
        async with self._database.read(snapshot=True) as connection:
            await self._require(connection, plan_id)
            return await self._lists.plan_rows(connection, plan_id, sku, after, limit)

    async def assignments(
        self, org_id: UUID | None, plan_id: UUID | None, after: tuple[int, UUID] | None, limit: int
    ) -> Sequence[AssignmentRecord]:
        """Return assignments of an organisation, of a plan or all, in their order. Raises NotFound PLAN_NOT_FOUND."""
        async with self._database.read(snapshot=True) as connection:
            if plan_id is not None:
                await self._require(connection, plan_id)
            return await self._lists.assignments(connection, org_id, plan_id, after, limit)

    async def engine_modes(self, org_id: UUID | None, after: int | None, limit: int) -> Sequence[EngineModeRecord]:
        """Return the modes that were set for an organisation, or all, in their order."""
        async with self._database.read() as connection:
            return await self._lists.engine_modes(connection, org_id, after, limit)

    async def _require(self, connection: AsyncConnection, plan_id: UUID) -> None:
        if not await self._lists.plans_by_ids(connection, [plan_id]):
            raise errors.plan_not_found()


@dataclass(frozen=True, slots=True)
class _Plans:
    """Plans, which are found by name."""

    store: TermListStore
    connection: AsyncConnection

    async def by_ids(self, ids: Sequence[UUID]) -> Sequence[PlanRecord]:
        return await self.store.plans_by_ids(self.connection, ids)

    async def by_names(self, names: Sequence[str]) -> Sequence[PlanRecord]:
        return await self.store.plans_by_names(self.connection, names)

    async def names_near(self, name: str) -> Sequence[str]:
        return await self.store.plan_names_near(self.connection, name)

    def id_of(self, one: PlanRecord) -> UUID:
        return UUID(bytes=one.plan_id)

    def names_of(self, one: PlanRecord) -> Sequence[str]:
        return (one.name,)
