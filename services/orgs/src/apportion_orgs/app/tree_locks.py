"""Locks on the trees of organisations.

Two writers that could make a cycle together, or a closure that lacks rows, wait for each other: whoever attaches a
tree locks both roots exclusively, whoever adds a leaf locks its root shared. The locks are statements of their own at
READ COMMITTED and everything that is decided is read after them; an earlier snapshot would still show the tree as it
was.
"""

from __future__ import annotations

from uuid import UUID

from apportion_common.db.unit_of_work import Transaction

from apportion_orgs import errors
from apportion_orgs.domain.hierarchy import check_depth
from apportion_orgs.limits import ROOT_LOCK_ROUNDS_MAX
from apportion_orgs.store.hierarchy import HierarchyStore


class _Moved(Exception):
    """A tree has another root than when its lock was asked for."""


class TreeLocks:
    """Locks trees until the transaction ends."""

    def __init__(self, hierarchy: HierarchyStore) -> None:
        """Lock in this store."""
        self._hierarchy = hierarchy

    async def lock_both(self, tx: Transaction, parent: UUID, child: UUID) -> None:
        """Lock the trees of a parent and of the child that it gets. Raises as `lock_for_leaf`, but for the depth."""
        await self._lock(tx, {parent: "parent_org_id", child: "child_org_id"}, shared=False)

    async def lock_for_leaf(self, tx: Transaction, parent: UUID) -> None:
        """Lock a parent's tree as it is, and make sure that one more level fits below the parent.

        Raises NotFound ORG_NOT_FOUND, FailedPrecondition DEPTH_EXCEEDED, Unavailable HIERARCHY_BUSY.
        """
        await self._lock(tx, {parent: "parent_org_id"}, shared=True)
        check_depth(await self._hierarchy.depth(tx.connection, parent) + 1, 0)

    async def _lock(self, tx: Transaction, orgs: dict[UUID, str], *, shared: bool) -> None:
        """Lock the trees of organisations (each with the field that named it), their roots in order of their ids.

        While one waits for a lock the tree may be moved under another root: then all are let go and taken again, since
        the new root may come before one that is held.
        """
        roots = await self._roots(tx, orgs)
        for _ in range(ROOT_LOCK_ROUNDS_MAX):
            try:
                async with tx.savepoint():
                    for root in sorted(roots):
                        await self._hierarchy.lock_root(tx, root, shared=shared)
                    found = await self._roots(tx, orgs)
                    if found <= roots:
                        return
                    raise _Moved
            except _Moved:
                roots = found
        raise errors.hierarchy_busy()

    async def _roots(self, tx: Transaction, orgs: dict[UUID, str]) -> set[UUID]:
        roots: set[UUID] = set()
        for org_id, field in orgs.items():
            root = await self._hierarchy.root_of(tx.connection, org_id)
            if root is None:
                raise errors.org_not_found(field)
            roots.add(root)
        return roots
