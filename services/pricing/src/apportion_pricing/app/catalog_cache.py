"""The terms in memory, brought up to date by revision: only what a newer revision added is read."""

from __future__ import annotations

import asyncio

from apportion_common.db.head import current_revision
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_pricing.app import metrics
from apportion_pricing.domain.catalog import Catalog
from apportion_pricing.domain.terms import TermsRows
from apportion_pricing.domain.terms_index import TermsIndex
from apportion_pricing.store.terms import TermsStore


class CatalogCache:
    """The newest catalog that was read; older ones are made when a batch still needs one."""

    def __init__(self, store: TermsStore) -> None:
        """Begin with nothing read."""
        self._store = store
        self._newest: Catalog | None = None
        self._lock = asyncio.Lock()

    async def latest(self, connection: AsyncConnection) -> Catalog:
        """Return the catalog in memory, however old; read when there is none."""
        if self._newest is None:
            return await self.at(await current_revision(connection), connection)
        return self._newest

    async def current(self, connection: AsyncConnection) -> Catalog:
        """Return the catalog of the newest committed revision."""
        return await self.at(await current_revision(connection), connection)

    async def at(self, revision: int, connection: AsyncConnection) -> Catalog:
        """Return the catalog of a committed revision."""
        known = self._newest
        if known is not None and known.revision == revision:
            return known
        async with self._lock:
            known = self._newest
            if known is not None and known.revision == revision:
                return known
            if known is not None and known.revision > revision:
                modes = [row for row in known.modes if row.revision <= revision]
                return Catalog(revision, known.rows, modes, TermsIndex(known.rows, known_revision=revision))
            self._newest = await self._grown(known, revision, connection)
            return self._newest

    async def _grown(self, known: Catalog | None, revision: int, connection: AsyncConnection) -> Catalog:
        after = known.revision if known is not None else -1
        added = await self._store.load(connection, after, revision)
        rows, modes = added.rows, added.modes
        if known is not None:
            old = known.rows
            rows = TermsRows(
                skus=[*old.skus, *rows.skus],
                plans=[*old.plans, *rows.plans],
                plan_skus=[*old.plan_skus, *rows.plan_skus],
                assignments=[*old.assignments, *rows.assignments],
                entitlements=[*old.entitlements, *rows.entitlements],
            )
            modes = [*known.modes, *modes]
        metrics.RELOADS.inc()
        return Catalog(revision, rows, modes, TermsIndex(rows))
