"""domain_claim."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from apportion_common.pages import TimeCursor
from sqlalchemy import CursorResult, Executable, Row, bindparam, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.domain.claim_states import ClaimStatus
from apportion_identity.domain.claims import Claim
from apportion_identity.domain.domain_names import self_and_parents
from apportion_identity.store.tables import domain_claim

_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:what || ' ' || :of, 0))")
HELD_ONCE: Final = "ix_domain_claim_held"
"""The unique index by which a name is pending or verified once, whatever the locks say."""
_DOMAIN_LOCK: Final = "domain_claim domain"
_ORG_LOCK: Final = "domain_claim org"

# Of conflicts a claim knows only that one is open; with whom is for operators.
_SELECT: Final = """
    SELECT c.claim_id, c.org_id, c.domain, c.status, c.created_by, c.created_at, c.token_hash, c.token_expires_at,
           c.verified_at, c.proved_at, c.proof, c.wildcard,
           c.status = 'pending_conflict' AND (
               EXISTS (SELECT FROM claim_conflict f WHERE f.claim_id = c.claim_id AND f.state = 'open')
               OR EXISTS (SELECT FROM claim_conflict f WHERE f.against_claim_id = c.claim_id AND f.state = 'open')
           ) AS contested
      FROM domain_claim c
"""
_HELD: Final = "c.status IN ('pending', 'verified')"
_BY_ID: Final = text(f"{_SELECT} WHERE c.claim_id = :claim")
_BY_IDS: Final = text(f"{_SELECT} WHERE c.claim_id = ANY(:claims)")
_BY_TOKENS: Final = text(f"{_SELECT} WHERE c.token_hash = ANY(:hashes)")
_LIVE_OF_ORG: Final = text(
    f"{_SELECT} WHERE c.org_id = :org AND c.domain = :domain AND c.status <> 'revoked' ORDER BY c.claim_id LIMIT 1"
)
_HOLDERS: Final = text(
    f"{_SELECT} WHERE c.domain = ANY(:names) AND {_HELD} AND (c.domain = :domain OR c.wildcard) AND c.org_id <> :org"
    " ORDER BY c.domain, c.claim_id"
)
_HELD_BELOW: Final = text(
    f"{_SELECT} WHERE c.domain LIKE '%.' || :domain AND {_HELD} AND c.org_id <> :org ORDER BY c.domain, c.claim_id"
)
_MADE_SINCE: Final = text("SELECT count(*) FROM domain_claim WHERE org_id = :org AND created_at >= :since")
_PAGE: Final = text(
    f"{_SELECT} WHERE c.org_id = :org"
    " AND (CAST(:at AS timestamptz) IS NULL OR (c.created_at, c.claim_id) < (:at, :after))"
    " ORDER BY c.created_at DESC, c.claim_id DESC LIMIT :limit"
)
# A claim from before the plan has no address: it waits for its organisation to ask for one.
_EXPIRED: Final = text(
    f"{_SELECT} WHERE c.status IN ('pending', 'pending_conflict') AND c.proved_at IS NULL"
    " AND c.token_expires_at <= :now ORDER BY c.token_expires_at, c.claim_id LIMIT :limit"
)
_ADD_CLAIM: Final = insert(domain_claim)
_SAVE_CLAIM: Final = update(domain_claim).where(
    domain_claim.c.claim_id == bindparam("known_id"), domain_claim.c.status == bindparam("status_before")
)


class ClaimMoved(Exception):
    """Another transaction changed a claim meanwhile, or took its name: decide again on what is there now."""


class ClaimStore:
    """Claims and their locks."""

    async def lock_domain(self, tx: Transaction, registrable: str) -> None:
        """Hold every claim at or below a registrable domain until the transaction ends."""
        await tx.execute(_LOCK, {"what": _DOMAIN_LOCK, "of": registrable})

    async def lock_org(self, tx: Transaction, org_id: UUID) -> None:
        """Hold an organisation's count of claims until the transaction ends; taken before any domain."""
        await tx.execute(_LOCK, {"what": _ORG_LOCK, "of": str(org_id)})

    async def find_claim(self, connection: AsyncConnection, claim_id: UUID) -> Claim | None:
        """Return the claim with the id."""
        row = (await connection.execute(_BY_ID, {"claim": claim_id})).first()
        return None if row is None else _claim(row)

    async def claims_of_ids(self, connection: AsyncConnection, ids: Collection[UUID]) -> Mapping[UUID, Claim]:
        """Return the claims with the ids, by id."""
        return {row.claim_id: _claim(row) for row in await connection.execute(_BY_IDS, {"claims": list(ids)})}

    async def of_tokens(self, connection: AsyncConnection, hashes: Sequence[bytes]) -> Sequence[Claim]:
        """Return the claims that these hashes of tokens belong to."""
        return [_claim(row) for row in await connection.execute(_BY_TOKENS, {"hashes": list(hashes)})]

    async def live_of_org(self, connection: AsyncConnection, org_id: UUID, domain: str) -> Claim | None:
        """Return the organisation's claim of that very name that is not revoked."""
        row = (await connection.execute(_LIVE_OF_ORG, {"org": org_id, "domain": domain})).first()
        return None if row is None else _claim(row)

    async def holders(self, connection: AsyncConnection, domain: str, org_id: UUID) -> Sequence[Claim]:
        """Return claims of other organisations, pending or verified, of the name or with a wildcard above it."""
        parameters = {"names": list(self_and_parents(domain)), "domain": domain, "org": org_id}
        return [_claim(row) for row in await connection.execute(_HOLDERS, parameters)]

    async def held_below(self, connection: AsyncConnection, domain: str, org_id: UUID) -> Sequence[Claim]:
        """Return claims of other organisations, pending or verified, of names below."""
        return [_claim(row) for row in await connection.execute(_HELD_BELOW, {"domain": domain, "org": org_id})]

    async def made_since(self, connection: AsyncConnection, org_id: UUID, since: datetime) -> int:
        """Return how many claims the organisation has made since an instant."""
        return int((await connection.execute(_MADE_SINCE, {"org": org_id, "since": since})).scalar_one())

    async def claims_page(
        self, connection: AsyncConnection, org_id: UUID, after: TimeCursor | None, limit: int
    ) -> Sequence[Claim]:
        """Return the organisation's claims, newest first, after a cursor."""
        at, claim_id = after or (None, None)
        rows = await connection.execute(_PAGE, {"org": org_id, "at": at, "after": claim_id, "limit": limit})
        return [_claim(row) for row in rows]

    async def expired_claims(self, connection: AsyncConnection, now: datetime, limit: int) -> Sequence[Claim]:
        """Return claims that nothing has proved and whose address has ended, oldest end first."""
        return [_claim(row) for row in await connection.execute(_EXPIRED, {"now": now, "limit": limit})]

    async def add_claim(self, tx: Transaction, claim: Claim) -> None:
        """Add a claim. Raises ClaimMoved when another took its name meanwhile."""
        row = {
            "claim_id": claim.claim_id,
            "org_id": claim.org_id,
            "domain": claim.domain,
            "created_by": claim.created_by,
            "created_at": claim.created_at,
            "updated_at": claim.created_at,
            "status": claim.status.value,
            "token_hash": claim.token_hash,
            "token_expires_at": claim.token_expires_at,
        }
        await _execute(tx, _ADD_CLAIM, row)

    async def save_claim(self, tx: Transaction, before: Claim, after: Claim) -> None:
        """Write what of a claim may change. Raises ClaimMoved when its status is not `before`'s any more."""
        changed = {
            "status": after.status.value,
            "token_hash": after.token_hash,
            "token_expires_at": after.token_expires_at,
            "verified_at": after.verified_at,
            "proved_at": after.proved_at,
            "proof": None if after.proof is None else dict(after.proof),
            "wildcard": after.wildcard,
            "updated_at": tx.clock.now(),
        }
        known = {"known_id": before.claim_id, "status_before": before.status.value}
        if (await _execute(tx, _SAVE_CLAIM, {**changed, **known})).rowcount != 1:
            raise ClaimMoved


async def _execute(tx: Transaction, statement: Executable, row: Mapping[str, Any]) -> CursorResult[Any]:
    """Execute a write of a claim; whoever finds its name held was not alone."""
    try:
        return await tx.execute(statement, row)
    except IntegrityError as error:
        if HELD_ONCE in str(error.orig):
            raise ClaimMoved from error
        raise


def _claim(row: Row[*tuple[Any, ...]]) -> Claim:
    return Claim(
        claim_id=row.claim_id,
        org_id=row.org_id,
        domain=row.domain,
        status=ClaimStatus(row.status),
        created_by=row.created_by,
        created_at=row.created_at,
        token_hash=None if row.token_hash is None else bytes(row.token_hash),
        token_expires_at=row.token_expires_at,
        verified_at=row.verified_at,
        proved_at=row.proved_at,
        proof=row.proof,
        wildcard=row.wildcard,
        contested=row.contested,
    )
