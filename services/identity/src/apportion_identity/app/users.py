"""The people who sign in, found by what their issuer says of them or by their verified address."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from apportion_common.errors import NotFound, PermissionDenied
from apportion_common.ids import uuid7
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.app.permissions import user_of_caller
from apportion_identity.domain.addresses import same_address
from apportion_identity.domain.people import User
from apportion_identity.store.users import UserStore


class Users:
    """Users; each call is made inside its caller's transaction."""

    def __init__(self, store: UserStore) -> None:
        """Work on this store."""
        self._store = store

    async def of_id(self, connection: AsyncConnection, user_id: UUID) -> User:
        """Return the user with the id. NotFound USER_NOT_FOUND."""
        found = await self._store.user(connection, user_id)
        if found is None:
            raise NotFound("USER_NOT_FOUND", "There is no such user.", field="user_id")
        return found

    async def of_caller(self, connection: AsyncConnection) -> User | None:
        """Return the person who calls; None for a program, and for who is gone."""
        user_id = user_of_caller()
        return None if user_id is None else await self._store.user(connection, user_id)

    async def of_address(self, tx: Transaction, email: str) -> User:
        """Return the user with a normalised address; made when there is none yet."""
        found = await self._store.user_of_address(tx.connection, email)
        if found is not None:
            return found
        new = User(uuid7(), email, None)
        if await self._store.add_user(tx, new):
            await tx.audit("app_user.create", f"app_user/{new.user_id}", after={"email": email})
            return new
        found = await self._store.user_of_address(tx.connection, email)
        assert found is not None, "an address that is taken belongs to somebody, and no user is ever deleted"
        return found

    async def of_login(self, tx: Transaction, issuer: str, subject: str, email: str) -> User:
        """Return the user who signs in at an issuer as a subject; at first the one with the address, or a new one.

        `email` is normalised, and verified by the issuer. Once known, a login stays with its user whatever the address
        says later (OpenID Connect Core 1.0, section 5.7), and the user has the address that it says last. A user who
        signs in at the issuer under another subject is not given to this one: the provider has handed the address to
        somebody else. PermissionDenied ADDRESS_HELD.
        """
        found = await self._store.user_of_login(tx.connection, issuer, subject)
        if found is not None:
            return await self._at_address(tx, found, email)
        user = await self.of_address(tx, email)
        await self._store.lock_user(tx, user.user_id)
        if await self._store.has_login_at(tx.connection, user.user_id, issuer):
            twin = await self._store.user_of_login(tx.connection, issuer, subject)
            if twin is not None:
                return twin
            raise PermissionDenied(
                "ADDRESS_HELD", "The address belongs to somebody who signs in there under another account."
            )
        if await self._store.add_login(tx, issuer, subject, user.user_id):
            after = {"issuer": issuer, "subject": subject}
            await tx.audit("user_login.create", f"app_user/{user.user_id}", after=after)
            return user
        twin = await self._store.user_of_login(tx.connection, issuer, subject)
        assert twin is not None, "a login that is taken belongs to somebody, and none is ever deleted"
        return twin

    async def _at_address(self, tx: Transaction, user: User, email: str) -> User:
        """Return the user with the address that is vouched for now: by an old one nobody joins a former company.

        An address that is another user's stays theirs, and this one keeps the old one.
        """
        if same_address(user.email, email) or not await self._store.change_address(tx, user.user_id, email):
            return user
        await tx.audit(
            "app_user.change", f"app_user/{user.user_id}", before={"email": user.email}, after={"email": email}
        )
        return replace(user, email=email)
