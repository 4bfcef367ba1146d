"""Finds the segment of each event of a batch: one that its lane knows, or a new one, resolved by the newest terms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from apportion_common.db.head import held_revision
from apportion_common.db.unit_of_work import Transaction
from apportion_common.errors import Unavailable

from apportion_pricing import limits
from apportion_pricing.app import metrics
from apportion_pricing.app.account_resolver import AccountResolver
from apportion_pricing.app.catalog_cache import CatalogCache
from apportion_pricing.app.lane_memory import LaneMemory, LaneSegment, Position
from apportion_pricing.domain.accounts import AccountsView, Need
from apportion_pricing.domain.catalog import Catalog
from apportion_pricing.domain.entries import Usage
from apportion_pricing.domain.segments import needs_of, rejection_of, segment_at
from apportion_pricing.store.charges import ChargeConstants, ChargeStore

LaneUsages = tuple[LaneMemory, Sequence[Usage]]
"""A lane's memory, and the events that it is to rate."""


class SegmentResolver:
    """Resolves segments by the catalog and by what orgs says."""

    def __init__(self, catalog: CatalogCache, accounts: AccountResolver, charges: ChargeStore) -> None:
        """`charges` packs what a segment's charges have in common."""
        self._catalog = catalog
        self._accounts = accounts
        self._charges = charges

    async def revisions(self, tx: Transaction) -> tuple[int, int]:
        """Return the newest revision of the catalog, locked from here on, and a confirmed one of orgs."""
        catalog_revision = await held_revision(tx)
        return catalog_revision, (await self._accounts.confirm(())).revision

    async def resolve(self, tx: Transaction, work: Sequence[LaneUsages]) -> list[list[LaneSegment]]:
        """Return the segment of each event of each lane, under the newest catalog (locked from here on) and a confirmed
        revision of orgs.

        Orgs is asked before the catalog is locked, so that a slow answer holds up no configuration write.
        """
        catalog = await self._catalog.latest(tx.connection)
        for _ in range(limits.REVISION_CHANGES_MAX):
            matches = []
            for memory, usages in work:
                memory.start(catalog.revision, memory.orgs_revision)
                matches.append(memory.match(usages))
            needs = [need for _, missed in matches for need in _needs(catalog, missed)]
            accounts = await self._accounts.confirm(needs)
            for number, (memory, usages) in enumerate(work):
                if accounts.revision != memory.orgs_revision:
                    memory.start(catalog.revision, accounts.revision)
                    matches[number] = [None] * len(usages), usages
                    await self._accounts.fill(accounts, _needs(catalog, usages))
            revision = await held_revision(tx)
            if revision == catalog.revision:
                missed_count = sum(len(missed) for _, missed in matches)
                metrics.SEGMENTS.labels("miss").inc(missed_count)
                metrics.SEGMENTS.labels("hit").inc(sum(len(usages) for _, usages in work) - missed_count)
                return [
                    [
                        segment if segment is not None else self._known_or_new(memory, catalog, accounts, usage)
                        for segment, usage in zip(found, usages, strict=True)
                    ]
                    for (memory, usages), (found, _) in zip(work, matches, strict=True)
                ]
            catalog = await self._catalog.at(revision, tx.connection)
        raise Unavailable("CATALOG_CHANGING", "The catalog or orgs changed too often while a batch was rated.")

    def _known_or_new(self, memory: LaneMemory, catalog: Catalog, accounts: AccountsView, usage: Usage) -> LaneSegment:
        """Return the segment of an event, resolved unless an event before it in the batch has brought it up."""
        org_id, sku, at_us = usage[2], usage[4], usage[6]
        known = memory.find(org_id, sku, at_us)
        return known if known is not None else self._new(memory, catalog, accounts, org_id, sku, at_us)

    def _new(
        self, memory: LaneMemory, catalog: Catalog, accounts: AccountsView, org_id: bytes, sku: str, at_us: int
    ) -> LaneSegment:
        """Resolve a segment, and remember it."""
        resolved = segment_at(catalog, accounts, org_id, sku, at_us)
        mode, key = catalog.mode_of(org_id), (org_id, sku, resolved.period)
        position, common, constants = Position(key), None, b""
        if rejection_of(resolved, closed=False) is None:
            assert resolved.account is not None
            assert resolved.terms is not None
            position = memory.position(key)
            common = ChargeConstants(
                org_id=org_id,
                account=resolved.account,
                terms=resolved.terms,
                sku=sku,
                period=resolved.period,
                mode=mode,
                catalog_revision=memory.catalog_revision,
                orgs_revision=memory.orgs_revision,
                lane=memory.lane,
            )
            constants = self._charges.constants(common)
        closed = memory.is_closed(resolved.period, org_id)
        segment = LaneSegment(resolved, position, mode, common, constants, closed=closed)
        memory.add(org_id, sku, segment)
        return segment


def _needs(catalog: Catalog, usages: Iterable[Usage]) -> list[Need]:
    """Return what must be known of orgs for these events, each need once."""
    instants = dict.fromkeys((usage[2], usage[6]) for usage in usages)
    return [need for org_id, at_us in instants for need in needs_of(catalog, org_id, at_us)]
