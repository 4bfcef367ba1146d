"""membership."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from sqlalchemy import Row, Select, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.domain.people import Member
from apportion_identity.domain.roles import Role
from apportion_identity.store.tables import app_user, membership

MEMBERSHIP_LOCK: Final = 1_001
"""First key of the advisory locks that let one transaction at a time change an organisation's memberships."""
_LOCK: Final = text("SELECT pg_advisory_xact_lock(:what, hashtext(:org_id))")

_MEMBER: Final = (
    select(membership.c.org_id, membership.c.user_id, app_user.c.email, membership.c.role)
    .join(app_user, app_user.c.user_id == membership.c.user_id)
    .where(membership.c.status == "active")
)


class MemberStore:
    """Who is a member of what."""

    async def lock_memberships(self, tx: Transaction, org_id: UUID) -> None:
        """Let nobody else change the organisation's memberships until the transaction ends.

        Every statement after this one sees what the previous transaction has committed; so a count of Owners holds.
        """
        await tx.execute(_LOCK, {"what": MEMBERSHIP_LOCK, "org_id": str(org_id)})

    async def role(self, connection: AsyncConnection, org_id: UUID, user_id: UUID) -> Role | None:
        """Return the user's role as an active member."""
        return _role((await connection.execute(_role_of(org_id, user_id))).scalar_one_or_none())

    async def lock_role(self, tx: Transaction, org_id: UUID, user_id: UUID) -> Role | None:
        """Return the role, as `role` does; the membership does not change until the transaction ends."""
        return _role((await tx.execute(_role_of(org_id, user_id).with_for_update(read=True))).scalar_one_or_none())

    async def member(self, connection: AsyncConnection, org_id: UUID, user_id: UUID) -> Member | None:
        """Return the active member."""
        statement = _MEMBER.where(membership.c.org_id == org_id, membership.c.user_id == user_id)
        row = (await connection.execute(statement)).first()
        return None if row is None else _member(row)

    async def count_owners(self, connection: AsyncConnection, org_id: UUID) -> int:
        """Return how many active Owners the organisation has."""
        statement = select(func.count()).where(
            membership.c.org_id == org_id, membership.c.role == Role.OWNER.value, membership.c.status == "active"
        )
        return int((await connection.execute(statement)).scalar_one())

    async def put_member(self, tx: Transaction, org_id: UUID, user_id: UUID, role: Role) -> None:
        """Make a user an active member with a role."""
        values = {"role": role.value, "status": "active"}
        await tx.execute(
            insert(membership)
            .values(org_id=org_id, user_id=user_id, **values)
            .on_conflict_do_update(index_elements=["org_id", "user_id"], set_=values)
        )

    async def set_role(self, tx: Transaction, org_id: UUID, user_id: UUID, role: Role) -> None:
        """Change a member's role."""
        await tx.execute(
            update(membership)
            .where(membership.c.org_id == org_id, membership.c.user_id == user_id)
            .values(role=role.value)
        )

    async def remove_member(self, tx: Transaction, org_id: UUID, user_id: UUID) -> None:
        """End a membership."""
        await tx.execute(delete(membership).where(membership.c.org_id == org_id, membership.c.user_id == user_id))

    async def members(
        self, connection: AsyncConnection, org_id: UUID, after: UUID | None, limit: int
    ) -> Sequence[Member]:
        """Return active members by user id, after the user `after`, `limit` at most."""
        statement = _MEMBER.where(membership.c.org_id == org_id).order_by(membership.c.user_id).limit(limit)
        if after is not None:
            statement = statement.where(membership.c.user_id > after)
        return [_member(row) for row in await connection.execute(statement)]


def _role_of(org_id: UUID, user_id: UUID) -> Select[str]:
    return select(membership.c.role).where(
        membership.c.org_id == org_id, membership.c.user_id == user_id, membership.c.status == "active"
    )


def _role(name: str | None) -> Role | None:
    return None if name is None else Role(name)


def _member(row: Row[*tuple[Any, ...]]) -> Member:
    return Member(row.org_id, row.user_id, row.email, Role(row.role))
