"""app_user, user_login and membership, and what a member who loses a role leaves behind of invitations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from sqlalchemy import Row, Select, delete, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.app.ports.people import MemberRecord, UserRecord
from apportion_identity.domain.roles import Role
from apportion_identity.store.tables import app_user, invitation, membership, user_login

MEMBERSHIP_LOCK: Final = 1_001
"""First key of the advisory locks that let one transaction at a time change an organisation's memberships."""
ADDRESS_ONCE: Final = "uq_app_user_email"
"""The unique constraint by which an address belongs to one user."""
_LOCK: Final = text("SELECT pg_advisory_xact_lock(:what, hashtext(:org_id))")

_USER: Final = select(app_user.c.user_id, app_user.c.email, app_user.c.default_org_id)
_MEMBER: Final = (
    select(membership.c.org_id, membership.c.user_id, app_user.c.email, membership.c.role)
    .join(app_user, app_user.c.user_id == membership.c.user_id)
    .where(membership.c.status == "active")
)


class StoredMembers:
    """Users and memberships in the database."""

    async def lock_memberships(self, tx: Transaction, org_id: UUID) -> None:
        """Let nobody else change the organisation's memberships until the transaction ends.

        Every statement after this one sees what the transaction before has committed; so a count of Owners stays true.
        """
        await tx.execute(_LOCK, {"what": MEMBERSHIP_LOCK, "org_id": str(org_id)})

    async def user(self, connection: AsyncConnection, user_id: UUID) -> UserRecord | None:
        """The user with the id."""
        return _user((await connection.execute(_USER.where(app_user.c.user_id == user_id))).first())

    async def user_of_address(self, connection: AsyncConnection, email: str) -> UserRecord | None:
        """The user with the normalised address; addresses from before are compared in any letter case."""
        return _user((await connection.execute(_USER.where(app_user.c.email == email))).first())

    async def user_of_login(self, connection: AsyncConnection, issuer: str, subject: str) -> UserRecord | None:
        """Who signs in at the issuer as that subject."""
        statement = _USER.join(user_login, user_login.c.user_id == app_user.c.user_id).where(
            user_login.c.issuer == issuer, user_login.c.subject == subject
        )
        return _user((await connection.execute(statement)).first())

    async def has_login_at(self, connection: AsyncConnection, user_id: UUID, issuer: str) -> bool:
        """Whether the user signs in at the issuer, under any subject."""
        statement = select(exists().where(user_login.c.user_id == user_id, user_login.c.issuer == issuer))
        return bool((await connection.execute(statement)).scalar_one())

    async def add_user(self, tx: Transaction, user: UserRecord) -> bool:
        """Add a user; False when the address was taken meanwhile."""
        statement = (
            insert(app_user)
            .values(user_id=user.user_id, email=user.email, default_org_id=user.default_org_id)
            .on_conflict_do_nothing()
            .returning(app_user.c.user_id)
        )
        return (await tx.execute(statement)).first() is not None

    async def change_address(self, tx: Transaction, user_id: UUID, email: str) -> bool:
        """Give a user another normalised address; False when it is somebody else's."""
        try:
            async with tx.savepoint():
                await tx.execute(update(app_user).where(app_user.c.user_id == user_id).values(email=email))
        except IntegrityError as error:
            if ADDRESS_ONCE in str(error.orig):
                return False
            raise
        return True

    async def lock_user(self, tx: Transaction, user_id: UUID) -> None:
        """Let nobody else give the user a login until the transaction ends."""
        await tx.execute(select(app_user.c.user_id).where(app_user.c.user_id == user_id).with_for_update())

    async def add_login(self, tx: Transaction, issuer: str, subject: str, user_id: UUID) -> bool:
        """Remember how a user signs in; False when that login was taken meanwhile."""
        statement = (
            insert(user_login)
            .values(issuer=issuer, subject=subject, user_id=user_id, created_at=tx.clock.now())
            .on_conflict_do_nothing()
            .returning(user_login.c.user_id)
        )
        return (await tx.execute(statement)).first() is not None

    async def set_default_org(self, tx: Transaction, user_id: UUID, before: UUID | None, after: UUID | None) -> None:
        """Change the organisation that a user acts in when none is named, if it is `before` still."""
        await tx.execute(
            update(app_user)
            .where(app_user.c.user_id == user_id, app_user.c.default_org_id.is_not_distinct_from(before))
            .values(default_org_id=after)
        )

    async def role(self, connection: AsyncConnection, org_id: UUID, user_id: UUID) -> Role | None:
        """The user's role as an active member."""
        return _role((await connection.execute(_role_of(org_id, user_id))).scalar_one_or_none())

    async def hold_role(self, tx: Transaction, org_id: UUID, user_id: UUID) -> Role | None:
        """As `role`; and the membership does not change until the transaction ends."""
        return _role((await tx.execute(_role_of(org_id, user_id).with_for_update(read=True))).scalar_one_or_none())

    async def member(self, connection: AsyncConnection, org_id: UUID, user_id: UUID) -> MemberRecord | None:
        """The active member."""
        statement = _MEMBER.where(membership.c.org_id == org_id, membership.c.user_id == user_id)
        row = (await connection.execute(statement)).first()
        return None if row is None else _member(row)

    async def count_owners(self, connection: AsyncConnection, org_id: UUID) -> int:
        """How many active Owners the organisation has."""
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

    async def revoke_invitations(
        self, tx: Transaction, org_id: UUID, inviter: UUID, roles: Sequence[Role], now: datetime
    ) -> Sequence[UUID]:
        """Revoke what a member invited others to and nobody has accepted, for those roles; gives the ids."""
        statement = (
            update(invitation)
            .where(
                invitation.c.org_id == org_id,
                invitation.c.invited_by == inviter,
                invitation.c.role.in_([role.value for role in roles]),
                invitation.c.consumed_at.is_(None),
                invitation.c.revoked_at.is_(None),
            )
            .values(revoked_at=now)
            .returning(invitation.c.invitation_id)
        )
        return (await tx.execute(statement)).scalars().all()

    async def members(
        self, connection: AsyncConnection, org_id: UUID, after: UUID | None, count: int
    ) -> Sequence[MemberRecord]:
        """Active members by user id, from behind `after` on, at most `count`."""
        statement = _MEMBER.where(membership.c.org_id == org_id).order_by(membership.c.user_id).limit(count)
        if after is not None:
            statement = statement.where(membership.c.user_id > after)
        return [_member(row) for row in await connection.execute(statement)]


def _role_of(org_id: UUID, user_id: UUID) -> Select[str]:
    return select(membership.c.role).where(
        membership.c.org_id == org_id, membership.c.user_id == user_id, membership.c.status == "active"
    )


def _role(name: str | None) -> Role | None:
    return None if name is None else Role(name)


def _user(row: Row[*tuple[Any, ...]] | None) -> UserRecord | None:
    return None if row is None else UserRecord(row.user_id, row.email, row.default_org_id)


def _member(row: Row[*tuple[Any, ...]]) -> MemberRecord:
    return MemberRecord(row.org_id, row.user_id, row.email, Role(row.role))
