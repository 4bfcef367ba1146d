"""org_hierarchy, the closure of the parent pointers, and the locks on trees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from apportion_common.db.engine import allow_statement_s
from apportion_common.db.unit_of_work import Transaction
from sqlalchemy import Select, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_orgs.domain.organizations import OrgAtDepth
from apportion_orgs.limits import HIERARCHY_CHECK_TIMEOUT_S, TREE_LEVELS_MAX
from apportion_orgs.store.organizations import ORG_COLUMNS, org_of
from apportion_orgs.store.tables import org_hierarchy, organization

# Alone in a statement: a statement that also read would have taken its snapshot before it waited.
_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtextextended('org_hierarchy ' || :root, 0))")
_LOCK_SHARED: Final = text("SELECT pg_advisory_xact_lock_shared(hashtextextended('org_hierarchy ' || :root, 0))")
_ROOT: Final = text(
    "SELECT ancestor_org_id FROM org_hierarchy WHERE descendant_org_id = :org ORDER BY depth DESC LIMIT 1"
)
_DEPTH: Final = text("SELECT max(depth) FROM org_hierarchy WHERE descendant_org_id = :org")
_HEIGHT: Final = text("SELECT max(depth) FROM org_hierarchy WHERE ancestor_org_id = :org")
_IS_ANCESTOR: Final = text(
    "SELECT EXISTS (SELECT FROM org_hierarchy WHERE ancestor_org_id = :ancestor AND descendant_org_id = :descendant)"
)
_ADD_LEAF: Final = text(
    "INSERT INTO org_hierarchy (ancestor_org_id, descendant_org_id, depth)"
    " SELECT ancestor_org_id, CAST(:org AS uuid), depth + 1 FROM org_hierarchy"
    " WHERE descendant_org_id = CAST(:parent AS uuid)"
    " UNION ALL SELECT CAST(:org AS uuid), CAST(:org AS uuid), 0"
)
_ATTACH: Final = text(
    "INSERT INTO org_hierarchy (ancestor_org_id, descendant_org_id, depth)"
    " SELECT above.ancestor_org_id, below.descendant_org_id, above.depth + below.depth + 1"
    " FROM org_hierarchy AS above CROSS JOIN org_hierarchy AS below"
    " WHERE above.descendant_org_id = :parent AND below.ancestor_org_id = :root"
)
# From every organisation upwards; pointers that form a cycle end at a depth that no closure row has.
_DIFFERENCES: Final = text(
    """
    WITH RECURSIVE implied (ancestor_org_id, descendant_org_id, depth) AS (
        SELECT org_id, org_id, 0 FROM organization
        UNION ALL
        SELECT o.parent_org_id, i.descendant_org_id, i.depth + 1
        FROM implied AS i JOIN organization AS o ON o.org_id = i.ancestor_org_id
        WHERE o.parent_org_id IS NOT NULL AND i.depth <= :levels
    )
    SELECT ancestor_org_id, descendant_org_id FROM (
        (TABLE implied EXCEPT SELECT ancestor_org_id, descendant_org_id, depth FROM org_hierarchy)
        UNION ALL
        (SELECT ancestor_org_id, descendant_org_id, depth FROM org_hierarchy EXCEPT TABLE implied)
    ) AS wrong
    GROUP BY ancestor_org_id, descendant_org_id ORDER BY ancestor_org_id, descendant_org_id LIMIT :limit
    """
)


class HierarchyStore:
    """The closure in the database."""

    async def those_below(self, connection: AsyncConnection, org_id: UUID, among: Sequence[UUID]) -> set[UUID]:
        """Return which of some organisations are this one or below it."""
        columns = org_hierarchy.c
        statement = select(columns.descendant_org_id).where(
            columns.ancestor_org_id == org_id, columns.descendant_org_id.in_(among)
        )
        return set((await connection.execute(statement)).scalars())

    async def root_of(self, connection: AsyncConnection, org_id: UUID) -> UUID | None:
        """Return the root of the organisation's tree; None when there is no such organisation."""
        root: UUID | None = (await connection.execute(_ROOT, {"org": org_id})).scalar_one_or_none()
        return root

    async def lock_root(self, tx: Transaction, root: UUID, *, shared: bool) -> None:
        """Lock a tree until the transaction ends: shared to add a leaf, else exclusively."""
        await tx.execute(_LOCK_SHARED if shared else _LOCK, {"root": str(root)})

    async def depth(self, connection: AsyncConnection, org_id: UUID) -> int:
        """Return how many levels are above the organisation."""
        return int((await connection.execute(_DEPTH, {"org": org_id})).scalar_one())

    async def height(self, connection: AsyncConnection, org_id: UUID) -> int:
        """Return how many levels are below the organisation."""
        return int((await connection.execute(_HEIGHT, {"org": org_id})).scalar_one())

    async def is_ancestor(self, connection: AsyncConnection, ancestor: UUID, descendant: UUID) -> bool:
        """Return whether the first is above the second, or is it."""
        found = await connection.execute(_IS_ANCESTOR, {"ancestor": ancestor, "descendant": descendant})
        return bool(found.scalar_one())

    async def add_leaf(self, tx: Transaction, org_id: UUID, parent_org_id: UUID | None) -> None:
        """Add the closure rows of a new organisation."""
        await tx.execute(_ADD_LEAF, {"org": org_id, "parent": parent_org_id})

    async def attach(self, tx: Transaction, root: UUID, parent_org_id: UUID) -> None:
        """Add the closure rows between a tree and the ancestors that it gets."""
        await tx.execute(_ATTACH, {"root": root, "parent": parent_org_id})

    async def ancestors(self, connection: AsyncConnection, org_id: UUID) -> Sequence[OrgAtDepth]:
        """Return what is above, nearest first."""
        statement = (
            select(*ORG_COLUMNS, org_hierarchy.c.depth)
            .join(org_hierarchy, org_hierarchy.c.ancestor_org_id == organization.c.org_id)
            .where(org_hierarchy.c.descendant_org_id == org_id, org_hierarchy.c.depth > 0)
            .order_by(org_hierarchy.c.depth)
        )
        return await _read(connection, statement)

    async def subtree(self, connection: AsyncConnection, org_id: UUID, limit: int) -> Sequence[OrgAtDepth]:
        """Return the organisation and what is below it, by depth and slug."""
        return await _read(connection, _below(org_id).limit(limit))

    async def descendants(
        self, connection: AsyncConnection, org_id: UUID, after: tuple[int, str] | None, limit: int
    ) -> Sequence[OrgAtDepth]:
        """Return what is below, by depth and slug, after a cursor."""
        statement = _below(org_id).where(org_hierarchy.c.depth > 0).limit(limit)
        if after is not None:
            statement = statement.where(tuple_(org_hierarchy.c.depth, organization.c.org_slug) > tuple_(*after))
        return await _read(connection, statement)

    async def differences(self, connection: AsyncConnection, limit: int) -> Sequence[tuple[UUID, UUID]]:
        """Return the pairs (ancestor, descendant) in which the closure differs from the parent pointers."""
        await allow_statement_s(connection, HIERARCHY_CHECK_TIMEOUT_S)
        rows = await connection.execute(_DIFFERENCES, {"limit": limit, "levels": TREE_LEVELS_MAX})
        return [(ancestor, descendant) for ancestor, descendant in rows]


def _below(org_id: UUID) -> Select[*tuple[Any, ...]]:
    """Select an organisation and all below it, by depth and slug."""
    return (
        select(*ORG_COLUMNS, org_hierarchy.c.depth)
        .join(org_hierarchy, org_hierarchy.c.descendant_org_id == organization.c.org_id)
        .where(org_hierarchy.c.ancestor_org_id == org_id)
        .order_by(org_hierarchy.c.depth, organization.c.org_slug)
    )


async def _read(connection: AsyncConnection, statement: Select[*tuple[Any, ...]]) -> list[OrgAtDepth]:
    return [OrgAtDepth(org_of(row), row.depth) for row in await connection.execute(statement)]
