"""Plans, their rows, assignments and engine modes as lists: what was ever set, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from apportion_common.db.names import contains, is_called, neighbours
from apportion_common.decimals import AMOUNT, to_scaled
from apportion_common.instants import us_of_datetime
from sqlalchemy import ColumnElement, Select, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_pricing.domain.charge_models import MODELS
from apportion_pricing.domain.engine_mode import EngineMode
from apportion_pricing.domain.records import AssignmentRecord, EngineModeRecord, PlanRecord
from apportion_pricing.domain.terms import PlanSkuRow
from apportion_pricing.store import tables
from apportion_pricing.store.terms import plan_sku_row


class TermListStore:
    """What was ever set, read and never changed."""

    async def plans_by_ids(self, connection: AsyncConnection, ids: Sequence[UUID]) -> Sequence[PlanRecord]:
        """Return the plans with these ids."""
        return await _plans(connection, select(tables.plan).where(tables.plan.c.plan_id.in_(ids)))

    async def plans_by_names(self, connection: AsyncConnection, names: Sequence[str]) -> Sequence[PlanRecord]:
        """Return the plans with these names, in either case."""
        name = tables.plan.c.name
        return await _plans(connection, select(tables.plan).where(is_called(name, names)).order_by(name))

    async def plan_names_near(self, connection: AsyncConnection, name: str) -> Sequence[str]:
        """Return names that stand beside a name in their order."""
        return await neighbours(connection, tables.plan.c.name, name)

    async def plans(
        self, connection: AsyncConnection, search: str, after: str | None, limit: int
    ) -> Sequence[PlanRecord]:
        """Return plans by name, after a name; with a text in it, or all."""
        name = tables.plan.c.name
        statement = select(tables.plan).order_by(name).limit(limit)
        if search:
            statement = statement.where(contains(name, search))
        if after is not None:
            statement = statement.where(name > after)
        return await _plans(connection, statement)

    async def plan_rows(
        self, connection: AsyncConnection, plan_id: UUID, sku: str, after: tuple[str, int] | None, limit: int
    ) -> Sequence[PlanSkuRow]:
        """Return the rows that a plan ever had, of one SKU or all, by SKU and revision, after both."""
        columns = tables.plan_sku.c
        order = (columns.sku, columns.revision)
        conditions: list[ColumnElement[bool]] = [columns.plan_id == plan_id, columns.charge_model.in_(list(MODELS))]
        if sku:
            conditions.append(columns.sku == sku)
        if after is not None:
            conditions.append(tuple_(*order) > tuple_(*after))
        statement = select(tables.plan_sku).where(*conditions).order_by(*order).limit(limit)
        return [plan_sku_row(row) for row in await connection.execute(statement)]

    async def assignments(
        self,
        connection: AsyncConnection,
        org_id: UUID | None,
        plan_id: UUID | None,
        after: tuple[int, UUID] | None,
        limit: int,
    ) -> Sequence[AssignmentRecord]:
        """Return assignments of an organisation, of a plan or all, by revision and organisation, after both."""
        columns = tables.org_business_model.c
        order = (columns.revision, columns.org_id)
        conditions: list[ColumnElement[bool]] = []
        if org_id is not None:
            conditions.append(columns.org_id == org_id)
        if plan_id is not None:
            conditions.append(columns.plan_id == plan_id)
        if after is not None:
            conditions.append(tuple_(*order) > tuple_(*after))
        statement = select(tables.org_business_model).where(*conditions).order_by(*order).limit(limit)
        return [
            AssignmentRecord(row.org_id, row.plan_id, us_of_datetime(row.effective_at), row.notes, row.revision)
            for row in await connection.execute(statement)
        ]

    async def engine_modes(
        self, connection: AsyncConnection, org_id: UUID | None, after: int | None, limit: int
    ) -> Sequence[EngineModeRecord]:
        """Return the modes that were set for an organisation, or all, by revision, after a revision."""
        columns = tables.engine_mode.c
        statement = select(tables.engine_mode).order_by(columns.revision).limit(limit)
        if org_id is not None:
            statement = statement.where(columns.org_id == org_id)
        if after is not None:
            statement = statement.where(columns.revision > after)
        return [
            EngineModeRecord(
                row.org_id,
                EngineMode(row.mode),
                row.override_reason or "",
                row.revision,
                us_of_datetime(row.created_at),
            )
            for row in await connection.execute(statement)
        ]


async def _plans(connection: AsyncConnection, statement: Select[Any]) -> Sequence[PlanRecord]:
    return [
        PlanRecord(row.plan_id.bytes, row.name, row.currency, to_scaled(row.base_price, AMOUNT))
        for row in await connection.execute(statement)
    ]
