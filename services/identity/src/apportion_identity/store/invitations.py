"""invitation and invitation_day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from apportion_common.pages import TimeCursor
from sqlalchemy import Row, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.domain.invitations import Ends, Invitation
from apportion_identity.domain.roles import Role
from apportion_identity.store.tables import invitation, invitation_day

_COLUMNS: Final = (
    invitation.c.invitation_id,
    invitation.c.org_id,
    invitation.c.email,
    invitation.c.role,
    invitation.c.expires_at,
    invitation.c.consumed_at,
    invitation.c.revoked_at,
    invitation.c.created_at,
    invitation.c.invited_by,
)
_UNENDED: Final = invitation.c.consumed_at.is_(None) & invitation.c.revoked_at.is_(None)


class InvitationStore:
    """Invitations, and how many there were on a day."""

    async def revoke_expired(self, tx: Transaction, org_id: UUID, email: str, now: datetime) -> Sequence[UUID]:
        """Revoke what has expired of an address, so that it can be invited again; return the ids."""
        statement = (
            update(invitation)
            .where(
                invitation.c.org_id == org_id,
                func.lower(invitation.c.email) == func.lower(email),
                _UNENDED,
                invitation.c.expires_at <= now,
            )
            .values(revoked_at=now)
            .returning(invitation.c.invitation_id)
        )
        return (await tx.execute(statement)).scalars().all()

    async def add_invitation(self, tx: Transaction, new: Invitation, token_hash: bytes) -> bool:
        """Add an invitation; False when the address has a live one in the organisation.

        The partial unique index decides: who comes second waits for the first one's transaction, and then sees it.
        """
        statement = (
            insert(invitation)
            .values(
                invitation_id=new.invitation_id,
                org_id=new.org_id,
                email=new.email,
                role=new.role.value,
                token_hash=token_hash,
                expires_at=new.ends.expires_at,
                invited_by=new.invited_by,
                created_at=new.created_at,
            )
            .on_conflict_do_nothing()
            .returning(invitation.c.invitation_id)
        )
        return (await tx.execute(statement)).first() is not None

    async def count_invitation(self, tx: Transaction, org_id: UUID, day: date, limit: int) -> bool:
        """Count one more invitation of a day; False, and nothing is counted, when `limit` is reached.

        One row per organisation and day, so that racing invitations queue for it and none goes past the limit.
        """
        if limit < 1:
            return False
        statement = (
            insert(invitation_day)
            .values(org_id=org_id, day=day, invited=1)
            .on_conflict_do_update(
                index_elements=["org_id", "day"],
                set_={"invited": invitation_day.c.invited + 1},
                where=invitation_day.c.invited < limit,
            )
            .returning(invitation_day.c.invited)
        )
        return (await tx.execute(statement)).first() is not None

    async def revoke_of_inviter(
        self, tx: Transaction, org_id: UUID, inviter: UUID, roles: Sequence[Role], now: datetime
    ) -> Sequence[UUID]:
        """Revoke what a member invited others to and nobody has accepted, for those roles; return the ids."""
        statement = (
            update(invitation)
            .where(
                invitation.c.org_id == org_id,
                invitation.c.invited_by == inviter,
                invitation.c.role.in_([role.value for role in roles]),
                _UNENDED,
            )
            .values(revoked_at=now)
            .returning(invitation.c.invitation_id)
        )
        return (await tx.execute(statement)).scalars().all()

    async def find_by_hash(self, connection: AsyncConnection, token_hash: bytes) -> tuple[Invitation, bytes] | None:
        """Return the invitation whose token has the hash, and the hash that is kept."""
        statement = select(*_COLUMNS, invitation.c.token_hash).where(invitation.c.token_hash == token_hash)
        row = (await connection.execute(statement)).first()
        return None if row is None else (_invitation(row), bytes(row.token_hash))

    async def lock_invitation(self, tx: Transaction, org_id: UUID, invitation_id: UUID) -> Invitation | None:
        """Return the organisation's invitation with the id, locked until the transaction ends."""
        statement = select(*_COLUMNS).where(invitation.c.org_id == org_id, invitation.c.invitation_id == invitation_id)
        row = (await tx.execute(statement.with_for_update())).first()
        return None if row is None else _invitation(row)

    async def end_invitation(self, tx: Transaction, ended: Invitation) -> None:
        """Record how the invitation ended."""
        await tx.execute(
            update(invitation)
            .where(invitation.c.invitation_id == ended.invitation_id)
            .values(consumed_at=ended.ends.consumed_at, revoked_at=ended.ends.revoked_at)
        )

    async def invitations(
        self, connection: AsyncConnection, org_id: UUID, live_at: datetime | None, after: TimeCursor | None, limit: int
    ) -> Sequence[Invitation]:
        """Return invitations, newest first, after a cursor, `limit` at most; with `live_at`, only those live then."""
        position = tuple_(invitation.c.created_at, invitation.c.invitation_id)
        statement = select(*_COLUMNS).where(invitation.c.org_id == org_id)
        if live_at is not None:
            statement = statement.where(_UNENDED, invitation.c.expires_at > live_at)
        if after is not None:
            statement = statement.where(position < after)
        ordered = statement.order_by(invitation.c.created_at.desc(), invitation.c.invitation_id.desc()).limit(limit)
        return [_invitation(row) for row in await connection.execute(ordered)]


def _invitation(row: Row[*tuple[Any, ...]]) -> Invitation:
    return Invitation(
        row.invitation_id,
        row.org_id,
        row.email,
        Role(row.role),
        Ends(row.expires_at, row.consumed_at, row.revoked_at),
        row.created_at,
        row.invited_by,
    )
