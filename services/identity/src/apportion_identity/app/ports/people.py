"""Users, members, invitations and requests to join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.app.ports.common import Place
from apportion_identity.domain.coverage import CoveringClaim
from apportion_identity.domain.invitation import Ends
from apportion_identity.domain.roles import Role


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A person who can sign in; the address is normalised."""

    user_id: UUID
    email: str
    default_org_id: UUID | None


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """An active member of an organisation."""

    org_id: UUID
    user_id: UUID
    email: str
    role: Role


class MemberStore(Protocol):
    """Users and who is a member of what."""

    async def lock_memberships(self, tx: Transaction, org_id: UUID) -> None:
        """Let nobody else change the organisation's memberships until the transaction ends."""
        ...

    async def user(self, connection: AsyncConnection, user_id: UUID) -> UserRecord | None:
        """The user with the id."""
        ...

    async def user_of_address(self, connection: AsyncConnection, email: str) -> UserRecord | None:
        """The user with the normalised address."""
        ...

    async def user_of_login(self, connection: AsyncConnection, issuer: str, subject: str) -> UserRecord | None:
        """Who signs in at the issuer as that subject."""
        ...

    async def has_login_at(self, connection: AsyncConnection, user_id: UUID, issuer: str) -> bool:
        """Whether the user signs in at the issuer, under any subject."""
        ...

    async def add_user(self, tx: Transaction, user: UserRecord) -> bool:
        """Add a user; False when the address was taken meanwhile."""
        ...

    async def change_address(self, tx: Transaction, user_id: UUID, email: str) -> bool:
        """Give a user another normalised address; False when it is somebody else's."""
        ...

    async def lock_user(self, tx: Transaction, user_id: UUID) -> None:
        """Let nobody else give the user a login until the transaction ends."""
        ...

    async def add_login(self, tx: Transaction, issuer: str, subject: str, user_id: UUID) -> bool:
        """Remember how a user signs in; False when that login was taken meanwhile."""
        ...

    async def set_default_org(self, tx: Transaction, user_id: UUID, before: UUID | None, after: UUID | None) -> None:
        """Change the organisation that a user acts in when none is named, if it is `before` still."""
        ...

    async def role(self, connection: AsyncConnection, org_id: UUID, user_id: UUID) -> Role | None:
        """The user's role as an active member."""
        ...

    async def hold_role(self, tx: Transaction, org_id: UUID, user_id: UUID) -> Role | None:
        """As `role`; and the membership does not change until the transaction ends."""
        ...

    async def member(self, connection: AsyncConnection, org_id: UUID, user_id: UUID) -> MemberRecord | None:
        """The active member."""
        ...

    async def count_owners(self, connection: AsyncConnection, org_id: UUID) -> int:
        """How many active Owners the organisation has."""
        ...

    async def put_member(self, tx: Transaction, org_id: UUID, user_id: UUID, role: Role) -> None:
        """Make a user an active member with a role."""
        ...

    async def set_role(self, tx: Transaction, org_id: UUID, user_id: UUID, role: Role) -> None:
        """Change a member's role."""
        ...

    async def remove_member(self, tx: Transaction, org_id: UUID, user_id: UUID) -> None:
        """End a membership."""
        ...

    async def revoke_invitations(
        self, tx: Transaction, org_id: UUID, inviter: UUID, roles: Sequence[Role], now: datetime
    ) -> Sequence[UUID]:
        """Revoke what a member invited others to and nobody has accepted, for those roles; gives the ids."""
        ...

    async def members(
        self, connection: AsyncConnection, org_id: UUID, after: UUID | None, count: int
    ) -> Sequence[MemberRecord]:
        """Active members by user id, from behind `after` on, at most `count`."""
        ...


@dataclass(frozen=True, slots=True)
class InvitationRecord:
    """An address asked into an organisation; `invited_by` is None when the platform asked."""

    invitation_id: UUID
    org_id: UUID
    email: str
    role: Role
    ends: Ends
    created_at: datetime
    invited_by: UUID | None


class InvitationStore(Protocol):
    """Invitations and how many there were on a day."""

    async def revoke_expired(self, tx: Transaction, org_id: UUID, email: str, now: datetime) -> Sequence[UUID]:
        """Revoke what has expired of an address, so that it can be invited again; gives the ids."""
        ...

    async def add_invitation(self, tx: Transaction, new: InvitationRecord, token_hash: bytes) -> bool:
        """Add an invitation; False when the address has a live one in the organisation."""
        ...

    async def count_invitation(self, tx: Transaction, org_id: UUID, day: date, limit: int) -> bool:
        """Count one more invitation of a day; False, and nothing is counted, when `limit` is reached."""
        ...

    async def find_by_hash(
        self, connection: AsyncConnection, token_hash: bytes
    ) -> tuple[InvitationRecord, bytes] | None:
        """The invitation whose token has the hash, and the hash that is kept."""
        ...

    async def hold_invitation(self, tx: Transaction, org_id: UUID, invitation_id: UUID) -> InvitationRecord | None:
        """The organisation's invitation with the id, held until the transaction ends."""
        ...

    async def end_invitation(self, tx: Transaction, ended: InvitationRecord) -> None:
        """Write down how the invitation ended."""
        ...

    async def invitations(
        self, connection: AsyncConnection, org_id: UUID, live_at: datetime | None, after: Place | None, count: int
    ) -> Sequence[InvitationRecord]:
        """Invitations, newest first, from behind `after` on, at most `count`; only those live at `live_at`."""
        ...


@dataclass(frozen=True, slots=True)
class JoinRequestRecord:
    """A person who asks to join; `user_id` is None for who has never signed in. `state` as the database names it."""

    request_id: UUID
    org_id: UUID
    user_id: UUID | None
    email: str
    state: str
    created_at: datetime
    decided_at: datetime | None
    decided_by: str


class JoinRequestStore(Protocol):
    """Who asks to join, and whose domain an address belongs to."""

    async def covering_claims(self, connection: AsyncConnection, domain: str) -> Sequence[CoveringClaim]:
        """The verified claims of a domain and of the names above it."""
        ...

    async def add_join_request(self, tx: Transaction, request: JoinRequestRecord) -> bool:
        """Add a request of a user; False when a pending one is there."""
        ...

    async def hold_join_request(self, tx: Transaction, org_id: UUID, request_id: UUID) -> JoinRequestRecord | None:
        """The organisation's request with the id, held until the transaction ends."""
        ...

    async def decide_join_request(self, tx: Transaction, request: JoinRequestRecord) -> None:
        """Write down what was decided."""
        ...

    async def join_requests(
        self, connection: AsyncConnection, org_id: UUID, pending_only: bool, after: Place | None, count: int
    ) -> Sequence[JoinRequestRecord]:
        """Requests, newest first, from behind `after` on, at most `count`."""
        ...
