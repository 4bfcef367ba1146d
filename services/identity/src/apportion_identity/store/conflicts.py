"""claim_conflict."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from apportion_common.pages import TimeCursor
from sqlalchemy import Row, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.domain.conflicts import Conflict
from apportion_identity.store.tables import claim_conflict

_OPEN: Final = claim_conflict.c.state == "open"
# A claim has one open conflict with another at most, and none with itself.
_REPOINT: Final = text(
    """
    UPDATE claim_conflict AS f SET against_claim_id = :after
     WHERE f.against_claim_id = :before AND f.state = 'open' AND f.claim_id <> :after
       AND NOT EXISTS (
               SELECT FROM claim_conflict o
                WHERE o.state = 'open'
                  AND ((o.claim_id, o.against_claim_id) = (f.claim_id, :after)
                       OR (o.claim_id, o.against_claim_id) = (:after, f.claim_id)))
    """
)


class ConflictStore:
    """Conflicts between claims."""

    async def find_conflict(self, connection: AsyncConnection, conflict_id: UUID) -> Conflict | None:
        """Return the conflict with the id."""
        statement = select(claim_conflict).where(claim_conflict.c.conflict_id == conflict_id)
        row = (await connection.execute(statement)).first()
        return None if row is None else _conflict(row)

    async def open_of(self, connection: AsyncConnection, claim_id: UUID) -> Sequence[Conflict]:
        """Return the open conflicts with the claim on either side, oldest first."""
        sides = or_(claim_conflict.c.claim_id == claim_id, claim_conflict.c.against_claim_id == claim_id)
        statement = (
            select(claim_conflict)
            .where(_OPEN, sides)
            .order_by(claim_conflict.c.opened_at, claim_conflict.c.conflict_id)
        )
        return [_conflict(row) for row in await connection.execute(statement)]

    async def open_conflict(self, tx: Transaction, conflict: Conflict) -> None:
        """Add an open conflict."""
        await tx.execute(
            insert(claim_conflict).values(
                conflict_id=conflict.conflict_id,
                claim_id=conflict.claim_id,
                against_claim_id=conflict.against_claim_id,
                state=conflict.state,
                opened_at=conflict.opened_at,
                due_at=conflict.due_at,
                escalations=0,
            )
        )

    async def resolve_conflict(
        self, tx: Transaction, conflict_id: UUID, resolution: str, resolved_by: str, at: datetime
    ) -> None:
        """End an open conflict."""
        await tx.execute(
            update(claim_conflict)
            .where(claim_conflict.c.conflict_id == conflict_id, _OPEN)
            .values(state="resolved", resolution=resolution, resolved_by=resolved_by, resolved_at=at)
        )

    async def repoint(self, tx: Transaction, before: UUID, after: UUID) -> int:
        """Repoint open conflicts from one claim to another, but for the other's own; return how many."""
        return (await tx.execute(_REPOINT, {"before": before, "after": after})).rowcount

    async def conflicts_page(
        self,
        connection: AsyncConnection,
        after: TimeCursor | None,
        limit: int,
        *,
        include_resolved: bool,
        overdue_at: datetime | None,
    ) -> Sequence[Conflict]:
        """Return conflicts, those due first, after a cursor; with `overdue_at`, open ones that were due by then."""
        position = (claim_conflict.c.due_at, claim_conflict.c.conflict_id)
        statement = select(claim_conflict).order_by(*position).limit(limit)
        if not include_resolved or overdue_at is not None:
            statement = statement.where(_OPEN)
        if overdue_at is not None:
            statement = statement.where(claim_conflict.c.due_at <= overdue_at)
        if after is not None:
            statement = statement.where(tuple_(*position) > tuple_(*after))
        return [_conflict(row) for row in await connection.execute(statement)]

    async def lock_overdue(
        self, tx: Transaction, now: datetime, escalated_before: datetime, limit: int
    ) -> Sequence[Conflict]:
        """Return open conflicts that are overdue and not lately escalated, locked; what others hold is skipped."""
        statement = (
            select(claim_conflict)
            .where(
                _OPEN,
                claim_conflict.c.due_at <= now,
                or_(claim_conflict.c.escalated_at.is_(None), claim_conflict.c.escalated_at <= escalated_before),
            )
            .order_by(claim_conflict.c.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return [_conflict(row) for row in await tx.execute(statement)]

    async def escalate(self, tx: Transaction, conflict_id: UUID, at: datetime) -> None:
        """Count one more escalation."""
        await tx.execute(
            update(claim_conflict)
            .where(claim_conflict.c.conflict_id == conflict_id)
            .values(escalated_at=at, escalations=claim_conflict.c.escalations + 1)
        )


def _conflict(row: Row[*tuple[Any, ...]]) -> Conflict:
    return Conflict(
        conflict_id=row.conflict_id,
        claim_id=row.claim_id,
        against_claim_id=row.against_claim_id,
        state=row.state,
        opened_at=row.opened_at,
        due_at=row.due_at,
        escalated_at=row.escalated_at,
        escalations=row.escalations,
        resolution=row.resolution or "",
        resolved_by=row.resolved_by or "",
        resolved_at=row.resolved_at,
    )
