"""The catalog: meterable capabilities."""

from __future__ import annotations

from apportion_common.db.actor import current_actor
from apportion_common.db.head import next_revision
from apportion_common.db.unit_of_work import Transaction
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_pricing import errors
from apportion_pricing.app.ports import CatalogStore, SkuRecord


class CatalogUseCases:
    """What may be done with SKUs."""

    def __init__(self, store: CatalogStore) -> None:
        self._store = store

    async def create_sku(self, tx: Transaction, sku: SkuRecord) -> int:
        """Add a SKU; gives the revision. Raises AlreadyExists SKU_EXISTS."""
        revision = await next_revision(tx)
        if not await self._store.add_sku(tx, sku, revision, current_actor(tx.service).subject):
            raise errors.sku_exists(sku.sku)
        await tx.audit(
            "sku.create",
            f"product_sku/{sku.sku}",
            after={"sku": sku.sku, "type": sku.sku_type, "unit": sku.unit, "revision": revision},
        )
        return revision

    async def list_skus(self, connection: AsyncConnection, after: str, page_size: int) -> tuple[list[SkuRecord], bool]:
        """A page of SKUs by name after `after`, and whether there are more."""
        found = await self._store.list_skus(connection, after, page_size + 1)
        return found[:page_size], len(found) > page_size
