"""The terms in memory, brought up to date by revision: only what a newer revision added is read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from apportion_common.db.head import current_revision
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_pricing.app import metrics
from apportion_pricing.app.ports import EngineModeRow, TermsLoader
from apportion_pricing.domain.terms import TermsRows
from apportion_pricing.domain.terms_book import TermsBook

SHADOW: Final = "shadow"
LIVE: Final = "live"
OFF: Final = "off"
DEFAULT_MODE: Final = SHADOW
"""The engine's mode until one is set (spec 03, "Engine modes")."""


class Catalog:
    """All terms of one revision. Immutable: a new revision is a new catalog."""

    def __init__(self, revision: int, rows: TermsRows, modes: Sequence[EngineModeRow], book: TermsBook) -> None:
        self.revision = revision
        self.rows = rows
        self.modes = modes
        self.book = book
        self._modes = {row.org_id: row.mode for row in sorted(modes, key=lambda row: row.revision)}

    def mode_of(self, org_id: bytes) -> str:
        """The engine's mode for an organisation: its own, else the default, else shadow."""
        return self._modes.get(org_id) or self._modes.get(None) or DEFAULT_MODE


class CatalogCache:
    """The newest catalog that was read; older ones are made when somebody still needs one."""

    def __init__(self, loader: TermsLoader) -> None:
        self._loader = loader
        self._newest: Catalog | None = None
        self._lock = asyncio.Lock()

    async def latest(self, connection: AsyncConnection) -> Catalog:
        """The catalog in memory, however old; read when there is none."""
        if self._newest is None:
            return await self.at(await current_revision(connection, share=False), connection)
        return self._newest

    async def current(self, connection: AsyncConnection) -> Catalog:
        """The catalog of the newest committed revision."""
        return await self.at(await current_revision(connection, share=False), connection)

    async def at(self, revision: int, connection: AsyncConnection) -> Catalog:
        """The catalog of a committed revision."""
        known = self._newest
        if known is not None and known.revision == revision:
            return known
        async with self._lock:
            known = self._newest
            if known is not None and known.revision == revision:
                return known
            if known is not None and known.revision > revision:
                modes = [row for row in known.modes if row.revision <= revision]
                return Catalog(revision, known.rows, modes, TermsBook(known.rows, known_revision=revision))
            self._newest = await self._grown(known, revision, connection)
            return self._newest

    async def _grown(self, known: Catalog | None, revision: int, connection: AsyncConnection) -> Catalog:
        after = known.revision if known is not None else -1
        added = await self._loader.load(connection, after, revision)
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
        return Catalog(revision, rows, modes, TermsBook(rows))
