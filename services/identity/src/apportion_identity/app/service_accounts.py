"""Service accounts: made, listed and revoked."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import NamedTuple, TypeVar
from uuid import UUID

from apportion_common.db.actor import current_actor
from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.errors import AlreadyExists, NotFound
from apportion_common.ids import uuid7
from apportion_common.pages import TimeCursor
from google.protobuf.message import Message

from apportion_identity.app import events
from apportion_identity.app.audit import service_account_entry
from apportion_identity.domain.service_accounts import KEY_PREFIX, ServiceAccount, key_hash
from apportion_identity.limits import SECRET_KEY_BYTES
from apportion_identity.store.service_accounts import ServiceAccountStore

Answer = TypeVar("Answer", bound=Message)


class NewServiceAccount(NamedTuple):
    """An account that was just made, and its key, which is known to nobody afterwards."""

    account: ServiceAccount
    key: str


class ServiceAccounts:
    """Programs that may ask for tokens."""

    def __init__(self, database: Database, store: ServiceAccountStore) -> None:
        """Work on the accounts of a database."""
        self._database = database
        self._store = store

    async def create(self, mutation: Mutation[NewServiceAccount, Answer], name: str, roles: Sequence[str]) -> Answer:
        """Add an account with a new key. AlreadyExists SERVICE_ACCOUNT_EXISTS when a live one has the name."""

        async def work(tx: Transaction) -> NewServiceAccount:
            key = KEY_PREFIX + secrets.token_urlsafe(SECRET_KEY_BYTES)
            account = ServiceAccount(
                account_id=uuid7(tx.clock.now_us() * 1_000),
                name=name,
                roles=tuple(sorted(roles)),
                created_by=current_actor(tx.service).subject,
                created_at=tx.clock.now(),
            )
            if not await self._store.add(tx, account, key_hash(key)):
                raise AlreadyExists("SERVICE_ACCOUNT_EXISTS", f"There is a service account {name} already.")
            resource = f"service_account/{account.account_id}"
            await tx.audit("service_account.create", resource, after=service_account_entry(account))
            return NewServiceAccount(account, key)

        return await run_mutation(self._database, mutation, work)

    async def page(self, after: TimeCursor | None, limit: int, *, include_revoked: bool) -> Sequence[ServiceAccount]:
        """Return accounts, newest first, after a cursor."""
        async with self._database.read() as connection:
            return await self._store.page(connection, include_revoked=include_revoked, after=after, limit=limit)

    async def revoke(self, mutation: Mutation[ServiceAccount, Answer], account_id: UUID, reason: str) -> Answer:
        """End an account: its key gets no token any more; one that is revoked already stays as it is.

        NotFound SERVICE_ACCOUNT_NOT_FOUND.
        """

        async def work(tx: Transaction) -> ServiceAccount:
            revoked = await self._store.revoke(tx, account_id, tx.clock.now())
            account = await self._store.find(tx.connection, account_id)
            if account is None or account.revoked_at is None:
                raise NotFound("SERVICE_ACCOUNT_NOT_FOUND", "There is no such service account.")
            if revoked:
                resource, after = f"service_account/{account_id}", {"revoked_at": account.revoked_at, "reason": reason}
                await tx.audit("service_account.revoke", resource, after=after)
                await tx.publish(events.SERVICE_ACCOUNT_REVOKED, events.service_account_revoked(account))
            return account

        return await run_mutation(self._database, mutation, work)
