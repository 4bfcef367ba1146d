"""claim_verification: the messages that named a claim, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.store.tables import claim_verification

_ADD_REJECTED: Final = text(
    """
    INSERT INTO claim_verification (verification_id, claim_id, proof_hash, reason, accepted, at)
    SELECT :verification_id, :claim_id, :proof_hash, :reason, false, :at
     WHERE (SELECT count(*) FROM (
               SELECT FROM claim_verification
                WHERE claim_id = :claim_id AND at > CAST(:at AS timestamptz) - interval '1 day'
                LIMIT :limit) AS today) < :limit
    """
)
_ADD_ACCEPTED: Final = (
    insert(claim_verification).on_conflict_do_nothing().returning(claim_verification.c.verification_id)
)
_PROVED_BY: Final = text("SELECT claim_id FROM claim_verification WHERE proof_hash = :proof_hash AND accepted")


@dataclass(frozen=True, slots=True)
class VerificationAttempt:
    """A message that named a claim, and what became of it."""

    verification_id: UUID
    claim_id: UUID
    proof_hash: bytes
    reason: str
    at: datetime


class VerificationStore:
    """Attempts to prove claims."""

    async def add_accepted(self, tx: Transaction, attempt: VerificationAttempt) -> bool:
        """Record a proof; False when the same message has proved something before."""
        row = {
            "verification_id": attempt.verification_id,
            "claim_id": attempt.claim_id,
            "proof_hash": attempt.proof_hash,
            "reason": attempt.reason,
            "accepted": True,
            "at": attempt.at,
        }
        return (await tx.execute(_ADD_ACCEPTED, row)).first() is not None

    async def add_rejected(self, tx: Transaction, attempt: VerificationAttempt, limit: int) -> None:
        """Record a rejected attempt, unless its claim has so many of that day already."""
        parameters = {
            "verification_id": attempt.verification_id,
            "claim_id": attempt.claim_id,
            "proof_hash": attempt.proof_hash,
            "reason": attempt.reason,
            "at": attempt.at,
            "limit": limit,
        }
        await tx.execute(_ADD_REJECTED, parameters)

    async def proved_by(self, connection: AsyncConnection, proof_hash: bytes) -> UUID | None:
        """Return the claim that the message proved."""
        found: UUID | None = (await connection.execute(_PROVED_BY, {"proof_hash": proof_hash})).scalar_one_or_none()
        return found
