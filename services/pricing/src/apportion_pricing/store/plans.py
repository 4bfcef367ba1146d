"""Plans and their versioned rows."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from apportion_common.decimals import AMOUNT, AMOUNT_PLACES, PRICE_PLACES, QUANTITY_PLACES, from_scaled, to_scaled
from apportion_common.instants import datetime_of_us
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_pricing.domain.charge_models import MODELS
from apportion_pricing.domain.records import PlanRecord
from apportion_pricing.domain.terms import PlanSkuRow
from apportion_pricing.store import tables
from apportion_pricing.store.terms import plan_sku_row


class PlanStore:
    """The tables plan and plan_sku."""

    async def add(self, tx: Transaction, plan: PlanRecord, revision: int, by: str) -> bool:
        """Add a plan; return False when its id or name is taken."""
        table = tables.plan
        row = {
            "plan_id": UUID(bytes=plan.plan_id),
            "name": plan.name,
            "currency": plan.currency,
            "base_price": from_scaled(plan.base_price, AMOUNT_PLACES),
            "revision": revision,
            "created_by": by,
        }
        added = await tx.execute(insert(table).values(row).on_conflict_do_nothing().returning(table.c.plan_id))
        return added.first() is not None

    async def find(self, connection: AsyncConnection, plan_id: bytes) -> PlanRecord | None:
        """Return a plan, or None."""
        table = tables.plan
        row = (await connection.execute(select(table).where(table.c.plan_id == UUID(bytes=plan_id)))).one_or_none()
        if row is None:
            return None
        return PlanRecord(row.plan_id.bytes, row.name, row.currency, to_scaled(row.base_price, AMOUNT))

    async def add_rows(self, tx: Transaction, rows: Sequence[PlanSkuRow], by: str) -> None:
        """Add versions of plan rows."""
        values = [
            {
                "plan_id": UUID(bytes=row.plan_id),
                "sku": row.sku,
                "charge_model": row.charge_model,
                "included_qty": from_scaled(row.included, QUANTITY_PLACES),
                "overage_price": from_scaled(row.overage_price, PRICE_PLACES),
                "tiers": row.tiers.to_json(),
                "effective_at": datetime_of_us(row.effective_at_us),
                "revision": row.revision,
                "created_by": by,
            }
            for row in rows
        ]
        if values:
            await tx.execute(insert(tables.plan_sku), values)

    async def rows(self, connection: AsyncConnection, plan_id: bytes, sku: str | None = None) -> list[PlanSkuRow]:
        """Return all versions of a plan's rows, or of its row for one SKU, by effective time and revision."""
        table = tables.plan_sku
        statement = (
            select(table)
            .where(table.c.plan_id == UUID(bytes=plan_id), table.c.charge_model.in_(list(MODELS)))
            .order_by(table.c.effective_at, table.c.revision)
        )
        if sku is not None:
            statement = statement.where(table.c.sku == sku)
        return [plan_sku_row(row) for row in await connection.execute(statement)]

    async def rows_by_sku(self, connection: AsyncConnection, plan_id: bytes) -> dict[str, list[PlanSkuRow]]:
        """Return all versions of a plan's rows of each SKU, by effective time and revision."""
        rows: dict[str, list[PlanSkuRow]] = {}
        for row in await self.rows(connection, plan_id):
            rows.setdefault(row.sku, []).append(row)
        return rows
