"""SKUs: the meterable capabilities of the catalog."""

from __future__ import annotations

from typing import TypeVar

from apportion_common.db.actor import current_actor
from apportion_common.db.head import next_revision
from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from google.protobuf.message import Message

from apportion_pricing import errors
from apportion_pricing.domain.records import SkuRecord
from apportion_pricing.store.skus import SkuStore

Answer = TypeVar("Answer", bound=Message)


class Skus:
    """What may be done with SKUs."""

    def __init__(self, database: Database, store: SkuStore) -> None:
        """Work on the service's database."""
        self._database = database
        self._store = store

    async def create(self, mutation: Mutation[int, Answer], sku: SkuRecord) -> Answer:
        """Add a SKU; the outcome is the revision. Raises AlreadyExists SKU_EXISTS."""

        async def work(tx: Transaction) -> int:
            revision = await next_revision(tx)
            if not await self._store.add(tx, sku, revision, current_actor(tx.service).subject):
                raise errors.sku_exists(sku.sku)
            await tx.audit(
                "sku.create",
                f"product_sku/{sku.sku}",
                after={"sku": sku.sku, "type": sku.sku_type, "unit": sku.unit, "revision": revision},
            )
            return revision

        return await run_mutation(self._database, mutation, work)

    async def page(self, after: str, limit: int) -> list[SkuRecord]:
        """Return at most `limit` SKUs by name, from the first one after `after`."""
        async with self._database.read() as connection:
            return await self._store.page(connection, after, limit)
