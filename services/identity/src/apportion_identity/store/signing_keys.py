"""signing_key: the keys that sign tokens, their private halves sealed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from apportion_common.db.unit_of_work import Transaction
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.domain.signing_keys import KeyTimes, SigningKey
from apportion_identity.store.tables import signing_key

# The form with two numbers is a space of its own: no hash of a domain meets it.
_LOCK: Final = text("SELECT pg_advisory_xact_lock(20250920, 1)")


class SigningKeyStore:
    """Signing keys, for all processes of identity."""

    async def lock(self, tx: Transaction) -> None:
        """Be the only one who changes signing keys until the transaction ends."""
        await tx.execute(_LOCK)

    async def all(self, connection: AsyncConnection) -> list[SigningKey]:
        """Return every key."""
        rows = await connection.execute(select(signing_key))
        return [
            SigningKey(
                KeyTimes(row.kid, row.created_at, row.signs_from, row.verifies_until),
                row.public_jwk,
                row.sealed_private_key,
            )
            for row in rows
        ]

    async def add(self, tx: Transaction, key: SigningKey) -> None:
        """Add a key."""
        await tx.execute(
            insert(signing_key).values(
                kid=key.times.kid,
                public_jwk=dict(key.public_jwk),
                sealed_private_key=key.sealed_private_key,
                created_at=key.times.created_at,
                signs_from=key.times.signs_from,
                verifies_until=key.times.verifies_until,
            )
        )

    async def end(self, tx: Transaction, verify_until: Mapping[str, datetime]) -> None:
        """Record until when keys verify, by their ids."""
        for kid, until in verify_until.items():
            await tx.execute(update(signing_key).where(signing_key.c.kid == kid).values(verifies_until=until))

    async def remove(self, tx: Transaction, kids: Sequence[str]) -> None:
        """Remove keys for good."""
        await tx.execute(delete(signing_key).where(signing_key.c.kid.in_(kids)))
