"""The tree of organisations: who is above whom.

Parent pointers are the truth and the closure follows them in the same transaction. Two writers that could make a cycle
together, or a closure that lacks rows, wait for each other: whoever attaches a tree holds both roots alone, whoever
adds a leaf holds its root shared. The locks are statements of their own at READ COMMITTED and everything that is
decided is read after them; an earlier snapshot would still show the tree of before.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from apportion_common.db.head import current_revision
from apportion_common.db.unit_of_work import Transaction
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_orgs import errors
from apportion_orgs.app.ports import HierarchyStore, OrgAt, OrgStore
from apportion_orgs.domain.hierarchy import check_depth
from apportion_orgs.limits import HIERARCHY_EXAMPLES_MAX, ROOT_LOCK_ROUNDS_MAX, TREE_ORGS_MAX


class Hierarchy:
    """The trees of organisations."""

    def __init__(self, orgs: OrgStore, tree: HierarchyStore) -> None:
        """Work on these stores."""
        self._orgs = orgs
        self._tree = tree

    async def add_child(self, tx: Transaction, parent: UUID, child: UUID) -> int:
        """Put a root, with all below it, under a parent; gives the newest revision, which this does not change.

        Raises NotFound ORG_NOT_FOUND, FailedPrecondition HIERARCHY_CYCLE, NOT_A_ROOT or DEPTH_EXCEEDED.
        """
        await self._hold(tx, {parent: "parent_org_id", child: "child_org_id"}, shared=False)
        connection = tx.connection
        if await self._tree.is_ancestor(connection, child, parent):
            raise errors.hierarchy_cycle()
        before = await self._orgs.find(connection, child)
        if before is None or before.parent_org_id is not None:
            raise errors.not_a_root()
        check_depth(await self._tree.depth(connection, parent) + 1, await self._tree.height(connection, child))
        await self._orgs.set_parent(tx, child, parent)
        await self._tree.attach(tx, child, parent)
        await tx.audit(
            "org.add_child",
            f"organization/{child}",
            org_id=child,
            before={"parent_org_id": None},
            after={"parent_org_id": parent},
        )
        return await current_revision(connection, share=False)

    async def hold_for_leaf(self, tx: Transaction, parent: UUID) -> None:
        """Hold a parent's tree as it is, and make sure that one more level fits below the parent.

        Raises NotFound ORG_NOT_FOUND, FailedPrecondition DEPTH_EXCEEDED.
        """
        await self._hold(tx, {parent: "parent_org_id"}, shared=True)
        check_depth(await self._tree.depth(tx.connection, parent) + 1, 0)

    async def add_leaf(self, tx: Transaction, org_id: UUID, parent: UUID | None) -> None:
        """Add the closure rows of a new organisation, whose parent is held."""
        await self._tree.add_leaf(tx, org_id, parent)

    async def ancestors(self, connection: AsyncConnection, org_id: UUID) -> Sequence[OrgAt]:
        """What is above, nearest first. Raises NotFound ORG_NOT_FOUND."""
        await self._require(connection, org_id)
        return await self._tree.ancestors(connection, org_id)

    async def descendants(
        self, connection: AsyncConnection, org_id: UUID, after: tuple[int, str] | None, most: int
    ) -> Sequence[OrgAt]:
        """What is below, by depth and slug, after a place. Raises NotFound ORG_NOT_FOUND."""
        await self._require(connection, org_id)
        return await self._tree.descendants(connection, org_id, after, most)

    async def tree(self, connection: AsyncConnection, root: UUID) -> Sequence[OrgAt]:
        """An organisation and all below it, read in one query, by depth and slug.

        Raises NotFound ORG_NOT_FOUND, FailedPrecondition TREE_TOO_LARGE.
        """
        found = await self._tree.subtree(connection, root, TREE_ORGS_MAX + 1)
        if not found:
            raise errors.org_not_found("root_org_id")
        if len(found) > TREE_ORGS_MAX:
            raise errors.tree_too_large()
        return found

    async def check(self, connection: AsyncConnection) -> Sequence[tuple[UUID, UUID]]:
        """Pairs (ancestor, descendant) in which the closure differs from the parent pointers; none when it holds."""
        return await self._tree.differences(connection, HIERARCHY_EXAMPLES_MAX)

    async def _require(self, connection: AsyncConnection, org_id: UUID) -> None:
        if await self._tree.root_of(connection, org_id) is None:
            raise errors.org_not_found()

    async def _hold(self, tx: Transaction, orgs: dict[UUID, str], *, shared: bool) -> None:
        """Hold the trees of organisations (each with the field that named it), their roots in order of their ids.

        While one waits for a lock the tree may be moved under another root: then that one is held too.
        """
        held: set[UUID] = set()
        for _ in range(ROOT_LOCK_ROUNDS_MAX):
            roots: set[UUID] = set()
            for org_id, field in orgs.items():
                root = await self._tree.root_of(tx.connection, org_id)
                if root is None:
                    raise errors.org_not_found(field)
                roots.add(root)
            if roots <= held:
                return
            for root in sorted(roots - held):
                await self._tree.lock_root(tx, root, shared=shared)
            held |= roots
        raise errors.hierarchy_busy()
