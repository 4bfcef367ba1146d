"""Finds the stretch of each event of a batch: one that its lane knows, or a new one, resolved by the newest terms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from apportion_common.db.head import current_revision
from apportion_common.db.unit_of_work import Transaction
from apportion_common.errors import Unavailable

from apportion_pricing import limits
from apportion_pricing.app import metrics
from apportion_pricing.app.accounts import AccountsView, Need, OrgsAccounts
from apportion_pricing.app.batches import Usage
from apportion_pricing.app.catalog_cache import Catalog, CatalogCache
from apportion_pricing.app.effective import Position, effective_at, needs_of
from apportion_pricing.app.lane_memory import LaneMemory, Stretch
from apportion_pricing.app.ports import ChargeConstants, ChargeStore


class Stretches:
    """Resolves stretches by the catalog and by what orgs says."""

    def __init__(self, catalog: CatalogCache, accounts: OrgsAccounts, charges: ChargeStore) -> None:
        """`charges` packs what a stretch's charges have in common."""
        self._catalog = catalog
        self._accounts = accounts
        self._charges = charges

    async def resolve(self, tx: Transaction, memory: LaneMemory, usages: Sequence[Usage]) -> list[Stretch]:
        """The stretch of each event, under the newest catalog (locked from here on) and a confirmed revision of orgs.

        Orgs is asked before the catalog is locked, so that a slow answer holds up no configuration write.
        """
        catalog = await self._catalog.latest(tx.connection)
        for _ in range(limits.REVISION_CHANGES):
            memory.start(catalog.revision, memory.orgs_revision)
            found, missed = memory.match(usages)
            accounts = await self._accounts.confirm(_needs(catalog, missed))
            if accounts.revision != memory.orgs_revision:
                memory.start(catalog.revision, accounts.revision)
                found, missed = [None] * len(usages), usages
                await self._accounts.fill(accounts, _needs(catalog, missed))
            revision = await current_revision(tx.connection, share=True)
            if revision == catalog.revision:
                metrics.SEGMENTS.labels("miss").inc(len(missed))
                metrics.SEGMENTS.labels("hit").inc(len(usages) - len(missed))
                return [
                    stretch if stretch is not None else self._known_or_new(memory, catalog, accounts, usage)
                    for stretch, usage in zip(found, usages, strict=True)
                ]
            catalog = await self._catalog.at(revision, tx.connection)
        raise Unavailable("CATALOG_CHANGING", "The catalog or orgs changed too often while a batch was rated.")

    def _known_or_new(self, memory: LaneMemory, catalog: Catalog, accounts: AccountsView, usage: Usage) -> Stretch:
        """The stretch of an event, resolved unless an event before it in the batch has brought it up."""
        org_id, sku, at_us = usage[2], usage[4], usage[6]
        known = memory.find(org_id, sku, at_us)
        return known if known is not None else self._new(memory, catalog, accounts, org_id, sku, at_us)

    def _new(
        self, memory: LaneMemory, catalog: Catalog, accounts: AccountsView, org_id: bytes, sku: str, at_us: int
    ) -> Stretch:
        """Resolve a stretch, and remember it."""
        effective = effective_at(catalog, accounts, org_id, sku, at_us)
        mode = catalog.mode_of(org_id)
        constants = b""
        if effective.terms is not None and effective.account is not None:
            constants = self._charges.constants(
                ChargeConstants(
                    org_id=org_id,
                    account=effective.account,
                    terms=effective.terms,
                    sku=sku,
                    period=effective.period,
                    mode=mode,
                    catalog_revision=memory.catalog_revision,
                    orgs_revision=memory.orgs_revision,
                    lane=memory.lane,
                )
            )
        key = org_id, sku, effective.period
        position = Position(key) if effective.refused is not None else memory.position(key)
        stretch = Stretch(effective, position, mode, constants)
        stretch.closed = memory.is_closed(effective.period, org_id)
        memory.add(org_id, sku, stretch)
        return stretch


def _needs(catalog: Catalog, usages: Iterable[Usage]) -> list[Need]:
    """What must be known of orgs for these events, each need once."""
    instants = dict.fromkeys((usage[2], usage[6]) for usage in usages)
    return [need for org_id, at_us in instants for need in needs_of(catalog, org_id, at_us)]
