"""Inviting people into an organisation, and becoming a member by an invitation (spec 01, invitations)."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar
from uuid import UUID

from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.errors import AlreadyExists, NotFound, ResourceExhausted
from apportion_common.ids import uuid7
from apportion_common.pages import TimeCursor
from google.protobuf.message import Message

from apportion_identity.app.audit import invitation_entry
from apportion_identity.app.memberships import Memberships
from apportion_identity.app.permissions import Permissions
from apportion_identity.app.settings import GlobalSettings
from apportion_identity.app.users import Users
from apportion_identity.domain.addresses import normalise_address, same_address
from apportion_identity.domain.invitations import (
    INVITATION_MARK,
    Ends,
    Invitation,
    InvitationState,
    check_acceptable,
    consumed,
    day_of,
    seconds_to_next_day,
    token_hash,
)
from apportion_identity.domain.people import Member
from apportion_identity.domain.roles import Role, check_invite
from apportion_identity.limits import SECRET_KEY_BYTES
from apportion_identity.store.invitations import InvitationStore

Answer = TypeVar("Answer", bound=Message)


class InvitationView(NamedTuple):
    """An invitation, and its state when it was looked at."""

    invitation: Invitation
    state: InvitationState


class NewInvitation(NamedTuple):
    """An invitation that was just made, and its token, of which only the hash is kept."""

    view: InvitationView
    token: str


class Invitations:
    """The invitations of all organisations."""

    def __init__(
        self,
        database: Database,
        store: InvitationStore,
        permissions: Permissions,
        memberships: Memberships,
        users: Users,
        settings: GlobalSettings,
    ) -> None:
        """Work on the invitations of a database; who accepts gets one of `memberships`."""
        self._database = database
        self._store = store
        self._permissions = permissions
        self._memberships = memberships
        self._users = users
        self._settings = settings

    async def create(self, mutation: Mutation[NewInvitation, Answer], org_id: UUID, email: str, role: Role) -> Answer:
        """Invite an address.

        An expired invitation of the address is revoked in the same transaction. InvalidArgument EMAIL_MALFORMED;
        PermissionDenied ROLE_REQUIRED or OWNER_REQUIRED; AlreadyExists MEMBER_EXISTS or INVITATION_EXISTS;
        ResourceExhausted INVITE_DAILY_LIMIT until the next day in UTC.
        """
        address = normalise_address(email)
        lifetime = timedelta(hours=await self._settings.get_int("invite_token_ttl_hours"))
        daily_limit = await self._settings.get_int("invite_daily_limit")

        async def work(tx: Transaction) -> NewInvitation:
            inviter = await self._permissions.require(tx, org_id, Role.ADMIN)
            check_invite(inviter.role, role)
            if await self._memberships.of_address(tx.connection, org_id, address) is not None:
                raise AlreadyExists("MEMBER_EXISTS", "The address belongs to a member already.", field="email")
            now = tx.clock.now()
            await self._revoke_expired(tx, org_id, address, now)
            token = INVITATION_MARK + secrets.token_urlsafe(SECRET_KEY_BYTES)
            made = Invitation(uuid7(), org_id, address, role, Ends(now + lifetime), now, inviter.user_id)
            if not await self._store.add_invitation(tx, made, token_hash(token)):
                raise _exists()
            # Counted last, so that racing invitations hold the day's row for a moment only; a rejection undoes it all.
            if not await self._store.count_invitation(tx, org_id, day_of(now), daily_limit):
                raise _daily_limit(daily_limit, now)
            await tx.audit("invitation.create", _resource(made), org_id=org_id, after=invitation_entry(made, now))
            return NewInvitation(_view(made, now), token)

        return await run_mutation(self._database, mutation, work)

    async def accept(self, mutation: Mutation[Member, Answer], token: str) -> Answer:
        """Make the caller a member by the invitation that was sent to their address; the token is consumed.

        Who is a member already keeps the role they have. NotFound INVITATION_NOT_FOUND; PermissionDenied
        INVITATION_FOREIGN; FailedPrecondition INVITATION_CONSUMED, INVITATION_REVOKED, INVITATION_EXPIRED.
        """
        digest = token_hash(token)

        async def work(tx: Transaction) -> Member:
            found = await self._store.find_by_hash(tx.connection, digest)
            if found is None or not hmac.compare_digest(found[1], digest):
                raise _not_found("token")
            # Memberships first: who takes somebody's role away takes back what they invited to, under the same lock.
            await self._memberships.lock(tx, found[0].org_id)
            invitation = await self._store.lock_invitation(tx, found[0].org_id, found[0].invitation_id)
            assert invitation is not None, "no invitation is ever deleted"
            now = tx.clock.now()
            user = await self._users.of_caller(tx.connection)
            is_addressee = user is not None and same_address(user.email, invitation.email)
            check_acceptable(invitation.ends, now, is_addressee=is_addressee)
            assert user is not None, "who is nobody was rejected as a foreigner"
            await self._end(tx, "invitation.accept", invitation, replace(invitation.ends, consumed_at=now))
            return await self._memberships.join(tx, invitation.org_id, user, invitation.role)

        return await run_mutation(self._database, mutation, work)

    async def revoke(self, mutation: Mutation[InvitationView, Answer], org_id: UUID, invitation_id: UUID) -> Answer:
        """Take an invitation back; one that is revoked already stays as it is.

        NotFound INVITATION_NOT_FOUND; FailedPrecondition INVITATION_CONSUMED; PermissionDenied ROLE_REQUIRED.
        """

        async def work(tx: Transaction) -> InvitationView:
            await self._permissions.require(tx, org_id, Role.ADMIN)
            invitation = await self._store.lock_invitation(tx, org_id, invitation_id)
            if invitation is None:
                raise _not_found("invitation_id")
            now = tx.clock.now()
            state = invitation.ends.state(now)
            if state is InvitationState.CONSUMED:
                raise consumed()
            if state is not InvitationState.REVOKED:
                ends = replace(invitation.ends, revoked_at=now)
                invitation = await self._end(tx, "invitation.revoke", invitation, ends)
            return _view(invitation, now)

        return await run_mutation(self._database, mutation, work)

    async def page(
        self, org_id: UUID, after: TimeCursor | None, limit: int, *, live_only: bool
    ) -> Sequence[InvitationView]:
        """Return invitations, newest first, after a cursor, for Admins. PermissionDenied ROLE_REQUIRED."""
        now = self._database.clock.now()
        async with self._database.read() as connection:
            await self._permissions.require_to_read(connection, org_id, Role.ADMIN)
            found = await self._store.invitations(connection, org_id, now if live_only else None, after, limit)
        return [_view(one, now) for one in found]

    async def _revoke_expired(self, tx: Transaction, org_id: UUID, email: str, now: datetime) -> None:
        for expired in await self._store.revoke_expired(tx, org_id, email, now):
            after = {"revoked_at": now, "reason": "expired, and invited again"}
            await tx.audit("invitation.revoke", f"invitation/{expired}", org_id=org_id, after=after)

    async def _end(self, tx: Transaction, action: str, invitation: Invitation, ends: Ends) -> Invitation:
        ended, now = replace(invitation, ends=ends), tx.clock.now()
        await self._store.end_invitation(tx, ended)
        await tx.audit(
            action,
            _resource(invitation),
            org_id=invitation.org_id,
            before=invitation_entry(invitation, now),
            after=invitation_entry(ended, now),
        )
        return ended


def _view(invitation: Invitation, now: datetime) -> InvitationView:
    return InvitationView(invitation, invitation.ends.state(now))


def _resource(invitation: Invitation) -> str:
    return f"invitation/{invitation.invitation_id}"


def _exists() -> AlreadyExists:
    return AlreadyExists(
        "INVITATION_EXISTS",
        "The address has an invitation that still stands; take it back to send another one.",
        field="email",
    )


def _not_found(field: str) -> NotFound:
    return NotFound("INVITATION_NOT_FOUND", "There is no such invitation.", field=field)


def _daily_limit(limit: int, now: datetime) -> ResourceExhausted:
    return ResourceExhausted(
        "INVITE_DAILY_LIMIT",
        f"The organisation may invite {limit} people on one day (UTC); go on tomorrow.",
        retry_after_s=seconds_to_next_day(now),
    )
