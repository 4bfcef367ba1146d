"""SKUs of the catalog."""

from __future__ import annotations

from collections.abc import Sequence

from apportion_common.db.unit_of_work import Transaction
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_pricing.domain.records import SkuRecord
from apportion_pricing.store import tables


class SkuStore:
    """The table product_sku."""

    async def add(self, tx: Transaction, sku: SkuRecord, revision: int, by: str) -> bool:
        """Add a SKU; return False when there is one of that name."""
        table = tables.product_sku
        row = {"sku": sku.sku, "type": sku.sku_type, "unit": sku.unit, "revision": revision, "created_by": by}
        added = await tx.execute(insert(table).values(row).on_conflict_do_nothing().returning(table.c.sku))
        return added.first() is not None

    async def known(self, connection: AsyncConnection, skus: Sequence[str]) -> set[str]:
        """Return those of `skus` that are in the catalog."""
        table = tables.product_sku
        return set((await connection.execute(select(table.c.sku).where(table.c.sku.in_(skus)))).scalars())

    async def page(self, connection: AsyncConnection, after: str, limit: int) -> list[SkuRecord]:
        """Return SKUs by name, from the first one after `after`."""
        table = tables.product_sku
        rows = await connection.execute(select(table).where(table.c.sku > after).order_by(table.c.sku).limit(limit))
        return [SkuRecord(row.sku, row.type, row.unit) for row in rows]
