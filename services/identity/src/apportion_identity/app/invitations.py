"""Inviting people into an organisation, and becoming a member by an invitation (spec 01, invitations)."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from apportion_common.errors import AlreadyExists, NotFound, ResourceExhausted
from apportion_common.ids import uuid7
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.app.members import Members
from apportion_identity.app.messages import invitation_message
from apportion_identity.app.ports.common import Place
from apportion_identity.app.ports.people import InvitationRecord, InvitationStore, MemberRecord
from apportion_identity.app.settings import GlobalSettings
from apportion_identity.domain.addresses import normalise_address, same_address
from apportion_identity.domain.invitation import (
    INVITATION_MARK,
    Ends,
    InvitationState,
    check_acceptable,
    consumed,
    day_of,
    seconds_to_next_day,
    token_hash,
)
from apportion_identity.domain.roles import Role, check_invite

TOKEN_BYTES: Final = 32
"""Random bytes of a token: 256 bits."""


@dataclass(frozen=True, slots=True)
class NewInvitation:
    """Whom to invite as what, with what the settings say now."""

    org_id: UUID
    email: str
    role: Role
    lifetime: timedelta
    daily_limit: int


class Invitations:
    """The invitations of all organisations."""

    def __init__(self, store: InvitationStore, members: Members, settings: GlobalSettings) -> None:
        """Work on this store; who accepts becomes one of `members`."""
        self._store = store
        self._members = members
        self._settings = settings

    async def prepare(self, org_id: UUID, email: str, role: Role) -> NewInvitation:
        """What is to be created; before the transaction, since it reads the settings.

        InvalidArgument EMAIL_MALFORMED.
        """
        return NewInvitation(
            org_id,
            normalise_address(email),
            role,
            timedelta(hours=await self._settings.get_int("invite_token_ttl_hours")),
            await self._settings.get_int("invite_daily_limit"),
        )

    async def create(self, tx: Transaction, new: NewInvitation) -> tuple[InvitationRecord, str]:
        """Invite an address; gives the invitation and its token, of which only the hash is kept.

        An expired invitation of the address is revoked in the same transaction. PermissionDenied ROLE_REQUIRED or
        OWNER_REQUIRED; AlreadyExists MEMBER_EXISTS or INVITATION_EXISTS; ResourceExhausted INVITE_DAILY_LIMIT until the
        next day in UTC.
        """
        inviter = await self._members.actor(tx, new.org_id, Role.ADMIN)
        check_invite(inviter.role, new.role)
        if await self._members.member_of_address(tx.connection, new.org_id, new.email) is not None:
            raise AlreadyExists("MEMBER_EXISTS", "The address belongs to a member already.", field="email")
        now = tx.clock.now()
        for expired in await self._store.revoke_expired(tx, new.org_id, new.email, now):
            after = {"revoked_at": now, "reason": "expired, and invited again"}
            await tx.audit("invitation.revoke", f"invitation/{expired}", org_id=new.org_id, after=after)
        token = INVITATION_MARK + secrets.token_urlsafe(TOKEN_BYTES)
        made = InvitationRecord(
            uuid7(), new.org_id, new.email, new.role, Ends(now + new.lifetime), now, inviter.user_id
        )
        if not await self._store.add_invitation(tx, made, token_hash(token)):
            raise AlreadyExists(
                "INVITATION_EXISTS",
                "The address has an invitation that still stands; take it back to send another one.",
                field="email",
            )
        # Counted last, so that racing invitations hold the day's row for a moment only; a refusal undoes all of it.
        if not await self._store.count_invitation(tx, new.org_id, day_of(now), new.daily_limit):
            raise _daily_limit(new.daily_limit, now)
        await tx.audit("invitation.create", _resource(made), org_id=made.org_id, after=invitation_message(made, now))
        return made, token

    async def accept(self, tx: Transaction, token: str) -> MemberRecord:
        """Make the caller a member by the invitation that was sent to their address; the token is consumed.

        Who is a member already keeps the role they have. NotFound INVITATION_NOT_FOUND; PermissionDenied
        INVITATION_FOREIGN; FailedPrecondition INVITATION_CONSUMED, INVITATION_REVOKED, INVITATION_EXPIRED.
        """
        digest = token_hash(token)
        found = await self._store.find_by_hash(tx.connection, digest)
        if found is None or not hmac.compare_digest(found[1], digest):
            raise _not_found("token")
        # Memberships first: who takes somebody's role away takes back what they invited to, under the same lock.
        await self._members.hold(tx, found[0].org_id)
        invitation = await self._store.hold_invitation(tx, found[0].org_id, found[0].invitation_id)
        assert invitation is not None, "no invitation is ever deleted"
        now = tx.clock.now()
        user = await self._members.caller_user(tx.connection)
        is_addressee = user is not None and same_address(user.email, invitation.email)
        check_acceptable(invitation.ends, now, is_addressee=is_addressee)
        assert user is not None, "who is nobody was refused as a foreigner"
        accepted = replace(invitation, ends=replace(invitation.ends, consumed_at=now))
        await self._store.end_invitation(tx, accepted)
        await tx.audit(
            "invitation.accept",
            _resource(invitation),
            org_id=invitation.org_id,
            before=invitation_message(invitation, now),
            after=invitation_message(accepted, now),
        )
        return await self._members.join(tx, invitation.org_id, user, invitation.role)

    async def revoke(self, tx: Transaction, org_id: UUID, invitation_id: UUID) -> InvitationRecord:
        """Take an invitation back; one that is revoked already stays as it is.

        NotFound INVITATION_NOT_FOUND; FailedPrecondition INVITATION_CONSUMED; PermissionDenied ROLE_REQUIRED.
        """
        await self._members.actor(tx, org_id, Role.ADMIN)
        invitation = await self._store.hold_invitation(tx, org_id, invitation_id)
        if invitation is None:
            raise _not_found("invitation_id")
        now = tx.clock.now()
        state = invitation.ends.state(now)
        if state is InvitationState.CONSUMED:
            raise consumed()
        if state is InvitationState.REVOKED:
            return invitation
        revoked = replace(invitation, ends=replace(invitation.ends, revoked_at=now))
        await self._store.end_invitation(tx, revoked)
        await tx.audit(
            "invitation.revoke",
            _resource(invitation),
            org_id=org_id,
            before=invitation_message(invitation, now),
            after=invitation_message(revoked, now),
        )
        return revoked

    async def page(
        self, connection: AsyncConnection, org_id: UUID, live_at: datetime | None, after: Place | None, count: int
    ) -> Sequence[InvitationRecord]:
        """Invitations, newest first, at most `count`; only those live at `live_at`. PermissionDenied ROLE_REQUIRED."""
        await self._members.reader(connection, org_id, Role.ADMIN)
        return await self._store.invitations(connection, org_id, live_at, after, count)


def _resource(invitation: InvitationRecord) -> str:
    return f"invitation/{invitation.invitation_id}"


def _not_found(field: str) -> NotFound:
    return NotFound("INVITATION_NOT_FOUND", "There is no such invitation.", field=field)


def _daily_limit(limit: int, now: datetime) -> ResourceExhausted:
    return ResourceExhausted(
        "INVITE_DAILY_LIMIT",
        f"The organisation may invite {limit} people on one day (UTC); go on tomorrow.",
        retry_after_s=seconds_to_next_day(now),
    )
