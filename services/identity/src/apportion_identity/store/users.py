"""app_user and user_login."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from sqlalchemy import Row, exists, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.domain.people import User
from apportion_identity.store.tables import app_user, user_login

ADDRESS_ONCE: Final = "uq_app_user_email"
"""The unique constraint by which an address belongs to one user."""

_USER: Final = select(app_user.c.user_id, app_user.c.email, app_user.c.default_org_id)


class UserStore:
    """Users, and how they sign in."""

    async def user(self, connection: AsyncConnection, user_id: UUID) -> User | None:
        """Return the user with the id."""
        return _user((await connection.execute(_USER.where(app_user.c.user_id == user_id))).first())

    async def user_of_address(self, connection: AsyncConnection, email: str) -> User | None:
        """Return the user with the normalised address; older addresses are compared in any letter case."""
        return _user((await connection.execute(_USER.where(app_user.c.email == email))).first())

    async def user_of_login(self, connection: AsyncConnection, issuer: str, subject: str) -> User | None:
        """Return who signs in at the issuer as that subject."""
        statement = _USER.join(user_login, user_login.c.user_id == app_user.c.user_id).where(
            user_login.c.issuer == issuer, user_login.c.subject == subject
        )
        return _user((await connection.execute(statement)).first())

    async def has_login_at(self, connection: AsyncConnection, user_id: UUID, issuer: str) -> bool:
        """Return whether the user signs in at the issuer, under any subject."""
        statement = select(exists().where(user_login.c.user_id == user_id, user_login.c.issuer == issuer))
        return bool((await connection.execute(statement)).scalar_one())

    async def add_user(self, tx: Transaction, user: User) -> bool:
        """Add a user; False when the address was taken meanwhile."""
        statement = (
            insert(app_user)
            .values(user_id=user.user_id, email=user.email, default_org_id=user.default_org_id)
            .on_conflict_do_nothing()
            .returning(app_user.c.user_id)
        )
        return (await tx.execute(statement)).first() is not None

    async def change_address(self, tx: Transaction, user_id: UUID, email: str) -> bool:
        """Set another normalised address of a user; False when it is somebody else's."""
        try:
            async with tx.savepoint():
                await tx.execute(update(app_user).where(app_user.c.user_id == user_id).values(email=email))
        except IntegrityError as error:
            if ADDRESS_ONCE in str(error.orig):
                return False
            raise
        return True

    async def lock_user(self, tx: Transaction, user_id: UUID) -> None:
        """Let nobody else bind the user to a login until the transaction ends."""
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


def _user(row: Row[*tuple[Any, ...]] | None) -> User | None:
    return None if row is None else User(row.user_id, row.email, row.default_org_id)
