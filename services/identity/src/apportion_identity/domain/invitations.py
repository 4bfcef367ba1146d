"""Invitations: their states, and who may turn one into a membership (spec 01, invitations)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from hashlib import sha256
from math import ceil
from typing import Final
from uuid import UUID

from apportion_common.errors import FailedPrecondition, PermissionDenied

from apportion_identity.domain.roles import Role

INVITATION_MARK: Final = "inv_"
"""What every invitation's token begins with, so that one is known for what it is wherever it turns up."""


def token_hash(token: str) -> bytes:
    """Return what is kept of a token: its SHA-256. A token has 256 random bits, so a plain hash is enough."""
    return sha256(token.encode()).digest()


class InvitationState(Enum):
    """The states of an invitation."""

    LIVE = "live"
    EXPIRED = "expired"
    CONSUMED = "consumed"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Ends:
    """How an invitation ends, or ended."""

    expires_at: datetime
    consumed_at: datetime | None = None
    revoked_at: datetime | None = None

    def state(self, now: datetime) -> InvitationState:
        """Return its state at an instant; what was consumed or revoked stays so, whatever the time."""
        if self.consumed_at is not None:
            return InvitationState.CONSUMED
        if self.revoked_at is not None:
            return InvitationState.REVOKED
        return InvitationState.EXPIRED if self.expires_at <= now else InvitationState.LIVE


@dataclass(frozen=True, slots=True)
class Invitation:
    """An address asked into an organisation; `invited_by` is None when the platform asked."""

    invitation_id: UUID
    org_id: UUID
    email: str
    role: Role
    ends: Ends
    created_at: datetime
    invited_by: UUID | None


def check_acceptable(ends: Ends, now: datetime, *, is_addressee: bool) -> None:
    """Reject a token that does not make its bearer a member now.

    A bearer whom it was not sent to learns nothing of its state. Raises PermissionDenied INVITATION_FOREIGN,
    FailedPrecondition INVITATION_CONSUMED, INVITATION_REVOKED or INVITATION_EXPIRED.
    """
    if not is_addressee:
        raise PermissionDenied("INVITATION_FOREIGN", "The invitation was sent to another address than the caller's.")
    state = ends.state(now)
    if state is InvitationState.CONSUMED:
        raise consumed()
    if state is InvitationState.REVOKED:
        raise FailedPrecondition("INVITATION_REVOKED", "The invitation was taken back; ask for a new one.")
    if state is InvitationState.EXPIRED:
        raise FailedPrecondition("INVITATION_EXPIRED", "The invitation has expired; ask for a new one.")


def consumed() -> FailedPrecondition:
    """Return the rejection of an invitation that has done its work."""
    return FailedPrecondition("INVITATION_CONSUMED", "The invitation has been accepted already.")


def day_of(now: datetime) -> date:
    """Return the day that an invitation counts for, in UTC (spec 01, data)."""
    return now.astimezone(UTC).date()


def seconds_to_next_day(now: datetime) -> int:
    """Return the whole seconds, at least 1, until the next day begins in UTC."""
    tomorrow = datetime.combine(day_of(now) + timedelta(days=1), time(), UTC)
    return max(ceil((tomorrow - now).total_seconds()), 1)
