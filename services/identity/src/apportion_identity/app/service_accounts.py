"""Service accounts: programs that may ask for tokens, each with a key of which only the hash is kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.db.actor import current_actor
from apportion_common.db.unit_of_work import Transaction
from apportion_common.errors import AlreadyExists, NotFound
from apportion_common.ids import uuid7
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.app.messages import timestamp_of
from apportion_identity.app.ports.access import AccountRecord, AccountStore
from apportion_identity.app.ports.common import Place
from apportion_identity.limits import SECRET_KEY_BYTES

KEY_PREFIX: Final = "apk_"
"""Says what a key is that lies where it should not; logs are searched for it."""
REVOKED_EVENT: Final = "identity.service_account.revoked"


def key_hash(key: str) -> bytes:
    """What is kept of a key. It has 256 random bits, so nothing slower than SHA-256 is needed."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


class ServiceAccounts:
    """Makes, lists and revokes service accounts."""

    def __init__(self, store: AccountStore) -> None:
        """Keep them in a store."""
        self._store = store

    async def create(self, tx: Transaction, name: str, roles: Sequence[str]) -> tuple[AccountRecord, str]:
        """Add an account; gives it and its key, which is known to nobody afterwards.

        AlreadyExists SERVICE_ACCOUNT_EXISTS when a live one has the name.
        """
        key = KEY_PREFIX + secrets.token_urlsafe(SECRET_KEY_BYTES)
        account = AccountRecord(
            account_id=uuid7(tx.clock.now_us() * 1_000),
            name=name,
            roles=tuple(sorted(roles)),
            created_by=current_actor(tx.service).subject,
            created_at=tx.clock.now(),
        )
        if not await self._store.add(tx, account, key_hash(key)):
            raise AlreadyExists("SERVICE_ACCOUNT_EXISTS", f"There is a service account {name} already.")
        await tx.audit(
            "service_account.create", f"service_account/{account.account_id}", after=account_message(account)
        )
        return account, key

    async def page(
        self, connection: AsyncConnection, *, include_revoked: bool, after: Place | None, limit: int
    ) -> list[AccountRecord]:
        """Accounts, newest first, from behind a place on."""
        return await self._store.page(connection, include_revoked=include_revoked, after=after, limit=limit)

    async def revoke(self, tx: Transaction, account_id: UUID, reason: str) -> AccountRecord:
        """End an account: its key gives no token any more; one that is revoked already stays as it is.

        NotFound SERVICE_ACCOUNT_NOT_FOUND.
        """
        revoked = await self._store.revoke(tx, account_id, tx.clock.now())
        account = await self._store.find(tx.connection, account_id)
        if account is None or account.revoked_at is None:
            raise NotFound("SERVICE_ACCOUNT_NOT_FOUND", "There is no such service account.")
        if revoked:
            await tx.audit(
                "service_account.revoke",
                f"service_account/{account_id}",
                after={"revoked_at": account.revoked_at, "reason": reason},
            )
            message = pb.ServiceAccountRevoked(account_id=str(account_id), revoked_at=timestamp_of(account.revoked_at))
            await tx.publish(REVOKED_EVENT, message)
        return account


def account_message(account: AccountRecord) -> pb.ServiceAccount:
    """The account as callers see it."""
    return pb.ServiceAccount(
        account_id=str(account.account_id),
        name=account.name,
        roles=account.roles,
        created_by=account.created_by,
        created_at=timestamp_of(account.created_at),
        revoked_at=None if account.revoked_at is None else timestamp_of(account.revoked_at),
    )
