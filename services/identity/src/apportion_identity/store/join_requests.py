"""join_request, and the verified claims that say whose an address's domain is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from apportion_common.pages import TimeCursor
from sqlalchemy import Row, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.domain.coverage import CoveringClaim
from apportion_identity.domain.domain_names import self_and_parents
from apportion_identity.domain.people import JoinRequest
from apportion_identity.store.tables import app_user, join_request

_COVERING: Final = text(
    """
    SELECT domain, org_id, wildcard,
           (SELECT given ->> 'org_id'
            FROM jsonb_array_elements(coalesce(proof -> 'delegations', '[]')) AS given
            WHERE given ->> 'domain' = :domain
            LIMIT 1) AS delegate
    FROM domain_claim
    WHERE status = 'verified' AND domain = ANY(:names)
    """
)
_SELECT: Final = select(
    join_request.c.request_id,
    join_request.c.org_id,
    join_request.c.user_id,
    func.coalesce(app_user.c.email, join_request.c.email).label("email"),
    join_request.c.state,
    join_request.c.created_at,
    join_request.c.decided_at,
    join_request.c.decided_by,
).outerjoin_from(join_request, app_user, app_user.c.user_id == join_request.c.user_id)


class JoinRequestStore:
    """Who asks to join, and whose domain an address belongs to."""

    async def covering_claims(self, connection: AsyncConnection, domain: str) -> Sequence[CoveringClaim]:
        """Return the verified claims of a domain and of the names above it."""
        rows = await connection.execute(_COVERING, {"domain": domain, "names": list(self_and_parents(domain))})
        return [
            CoveringClaim(row.domain, row.org_id, row.wildcard, None if row.delegate is None else UUID(row.delegate))
            for row in rows
        ]

    async def add_join_request(self, tx: Transaction, request: JoinRequest) -> bool:
        """Add a request of a user; False when a pending one is there."""
        statement = (
            insert(join_request)
            .values(
                request_id=request.request_id,
                org_id=request.org_id,
                user_id=request.user_id,
                state=request.state,
                created_at=request.created_at,
            )
            .on_conflict_do_nothing()
            .returning(join_request.c.request_id)
        )
        return (await tx.execute(statement)).first() is not None

    async def lock_join_request(self, tx: Transaction, org_id: UUID, request_id: UUID) -> JoinRequest | None:
        """Return the organisation's request with the id, locked until the transaction ends."""
        statement = _SELECT.where(join_request.c.org_id == org_id, join_request.c.request_id == request_id)
        row = (await tx.execute(statement.with_for_update(of=join_request))).first()
        return None if row is None else _request(row)

    async def decide_join_request(self, tx: Transaction, request: JoinRequest) -> None:
        """Record what was decided."""
        await tx.execute(
            update(join_request)
            .where(join_request.c.request_id == request.request_id)
            .values(state=request.state, decided_at=request.decided_at, decided_by=request.decided_by)
        )

    async def join_requests(
        self, connection: AsyncConnection, org_id: UUID, pending_only: bool, after: TimeCursor | None, limit: int
    ) -> Sequence[JoinRequest]:
        """Return requests, newest first, after a cursor, `limit` at most."""
        statement = _SELECT.where(join_request.c.org_id == org_id)
        if pending_only:
            statement = statement.where(join_request.c.state == "pending")
        if after is not None:
            statement = statement.where(tuple_(join_request.c.created_at, join_request.c.request_id) < after)
        ordered = statement.order_by(join_request.c.created_at.desc(), join_request.c.request_id.desc()).limit(limit)
        return [_request(row) for row in await connection.execute(ordered)]


def _request(row: Row[*tuple[Any, ...]]) -> JoinRequest:
    return JoinRequest(
        row.request_id,
        row.org_id,
        row.user_id,
        row.email,
        row.state,
        row.created_at,
        row.decided_at,
        row.decided_by or "",
    )
