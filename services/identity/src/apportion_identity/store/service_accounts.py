"""service_account."""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from apportion_common.pages import TimeCursor
from sqlalchemy import Row, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.domain.service_accounts import ServiceAccount
from apportion_identity.store.tables import service_account

_COLUMNS: Final = tuple(
    service_account.c[name] for name in ("account_id", "name", "roles", "created_by", "created_at", "revoked_at")
)


class ServiceAccountStore:
    """Service accounts."""

    async def add(self, tx: Transaction, account: ServiceAccount, key_hash: bytes) -> bool:
        """Add an account; False when a live one has its name."""
        statement = (
            insert(service_account)
            .values(
                account_id=account.account_id,
                name=account.name,
                roles=list(account.roles),
                key_hash=key_hash,
                created_by=account.created_by,
                created_at=account.created_at,
            )
            .on_conflict_do_nothing()
            .returning(service_account.c.account_id)
        )
        return (await tx.execute(statement)).first() is not None

    async def find(self, connection: AsyncConnection, account_id: UUID) -> ServiceAccount | None:
        """Return the account with the id."""
        statement = select(*_COLUMNS).where(service_account.c.account_id == account_id)
        row = (await connection.execute(statement)).first()
        return None if row is None else _account(row)

    async def find_live_by_key(self, connection: AsyncConnection, key_hash: bytes) -> ServiceAccount | None:
        """Return the account with that key; None for a revoked one too."""
        statement = select(*_COLUMNS, service_account.c.key_hash).where(
            service_account.c.key_hash == key_hash, service_account.c.revoked_at.is_(None)
        )
        row = (await connection.execute(statement)).first()
        # The index compares in its own time, but a hash, of which nobody chooses a prefix; this is for the last word.
        if row is None or not hmac.compare_digest(row.key_hash, key_hash):
            return None
        return _account(row)

    async def page(
        self, connection: AsyncConnection, *, include_revoked: bool, after: TimeCursor | None, limit: int
    ) -> list[ServiceAccount]:
        """Return accounts, newest first, after a cursor."""
        position = tuple_(service_account.c.created_at, service_account.c.account_id)
        statement = select(*_COLUMNS).order_by(position.desc()).limit(limit)
        if not include_revoked:
            statement = statement.where(service_account.c.revoked_at.is_(None))
        if after is not None:
            statement = statement.where(position < after)
        return [_account(row) for row in await connection.execute(statement)]

    async def revoke(self, tx: Transaction, account_id: UUID, at: datetime) -> bool:
        """Revoke an account; False when it was revoked already, or is none."""
        statement = (
            update(service_account)
            .where(service_account.c.account_id == account_id, service_account.c.revoked_at.is_(None))
            .values(revoked_at=at)
        )
        return (await tx.execute(statement)).rowcount == 1


def _account(row: Row[*tuple[Any, ...]]) -> ServiceAccount:
    return ServiceAccount(
        row.account_id, row.name, tuple(row.roles), row.created_by, row.created_at, revoked_at=row.revoked_at
    )
