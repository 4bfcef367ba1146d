"""The trees of organisations: who is above whom.

Parent pointers are the truth and the closure follows them in the same transaction, under the trees' locks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from apportion_common.db.head import current_revision
from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_orgs import errors
from apportion_orgs.app.tree_locks import TreeLocks
from apportion_orgs.domain.hierarchy import check_depth
from apportion_orgs.domain.organizations import OrgAtDepth
from apportion_orgs.limits import HIERARCHY_EXAMPLES_MAX, TREE_ORGS_MAX
from apportion_orgs.store.hierarchy import HierarchyStore
from apportion_orgs.store.organizations import OrganizationStore

Answer = TypeVar("Answer", bound=Message)


class Hierarchies:
    """Changes and reads trees."""

    def __init__(self, database: Database, orgs: OrganizationStore, hierarchy: HierarchyStore) -> None:
        """Work on these stores."""
        self._database = database
        self._orgs = orgs
        self._hierarchy = hierarchy
        self._locks = TreeLocks(hierarchy)

    async def add_child(self, mutation: Mutation[int, Answer], parent: UUID, child: UUID) -> Answer:
        """Put a root, with all below it, under a parent; return the newest revision, which this does not change.

        Raises NotFound ORG_NOT_FOUND, FailedPrecondition HIERARCHY_CYCLE, NOT_A_ROOT or DEPTH_EXCEEDED, Unavailable
        HIERARCHY_BUSY.
        """

        async def work(tx: Transaction) -> int:
            await self._locks.lock_both(tx, parent, child)
            await self._check_child(tx.connection, parent, child)
            await self._orgs.set_parent(tx, child, parent)
            await self._hierarchy.attach(tx, child, parent)
            await tx.audit(
                "org.add_child",
                f"organization/{child}",
                org_id=child,
                before={"parent_org_id": None},
                after={"parent_org_id": parent},
            )
            return await current_revision(tx.connection)

        return await run_mutation(self._database, mutation, work)

    async def ancestors(self, org_id: UUID) -> Sequence[OrgAtDepth]:
        """Return what is above, nearest first. Raises NotFound ORG_NOT_FOUND."""
        async with self._database.read(snapshot=True) as connection:
            await self._require(connection, org_id)
            return await self._hierarchy.ancestors(connection, org_id)

    async def descendants(self, org_id: UUID, after: tuple[int, str] | None, limit: int) -> Sequence[OrgAtDepth]:
        """Return what is below, by depth and slug, after a cursor. Raises NotFound ORG_NOT_FOUND."""
        async with self._database.read(snapshot=True) as connection:
            await self._require(connection, org_id)
            return await self._hierarchy.descendants(connection, org_id, after, limit)

    async def tree(self, root: UUID) -> Sequence[OrgAtDepth]:
        """Return an organisation and all below it, read in one query, by depth and slug.

        Raises NotFound ORG_NOT_FOUND, FailedPrecondition TREE_TOO_LARGE.
        """
        async with self._database.read() as connection:
            found = await self._hierarchy.subtree(connection, root, TREE_ORGS_MAX + 1)
        if not found:
            raise errors.org_not_found("root_org_id")
        if len(found) > TREE_ORGS_MAX:
            raise errors.tree_too_large()
        return found

    async def check(self) -> Sequence[tuple[UUID, UUID]]:
        """Return pairs (ancestor, descendant) in which the closure differs from the parent pointers."""
        async with self._database.read() as connection:
            return await self._hierarchy.differences(connection, HIERARCHY_EXAMPLES_MAX)

    async def _check_child(self, connection: AsyncConnection, parent: UUID, child: UUID) -> None:
        """Raise FailedPrecondition unless the parent may get the child."""
        if await self._hierarchy.is_ancestor(connection, child, parent):
            raise errors.hierarchy_cycle()
        org = await self._orgs.find(connection, child)
        if org is None or org.parent_org_id is not None:
            raise errors.not_a_root()
        depth = await self._hierarchy.depth(connection, parent) + 1
        check_depth(depth, await self._hierarchy.height(connection, child))

    async def _require(self, connection: AsyncConnection, org_id: UUID) -> None:
        if await self._hierarchy.root_of(connection, org_id) is None:
            raise errors.org_not_found()
