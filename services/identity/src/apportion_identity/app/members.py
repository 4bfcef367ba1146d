"""Members of an organisation and their roles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.errors import NotFound
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.app import events
from apportion_identity.app.memberships import membership_resource
from apportion_identity.app.permissions import Permissions, user_of_caller
from apportion_identity.domain.people import Member
from apportion_identity.domain.roles import Role, check_change, check_removal, may_invite
from apportion_identity.store.invitations import InvitationStore
from apportion_identity.store.members import MemberStore
from apportion_identity.store.users import UserStore

Answer = TypeVar("Answer", bound=Message)


class Members:
    """What members may do to one another."""

    def __init__(
        self,
        database: Database,
        members: MemberStore,
        users: UserStore,
        invitations: InvitationStore,
        permissions: Permissions,
    ) -> None:
        """Work on the members of a database."""
        self._database = database
        self._members = members
        self._users = users
        self._invitations = invitations
        self._permissions = permissions

    async def page(self, org_id: UUID, after: UUID | None, limit: int) -> Sequence[Member]:
        """Return members by user id, after the user `after`, for members. PermissionDenied ROLE_REQUIRED."""
        async with self._database.read() as connection:
            await self._permissions.require_to_read(connection, org_id, Role.USER)
            return await self._members.members(connection, org_id, after, limit)

    async def set_role(self, mutation: Mutation[Member, Answer], org_id: UUID, user_id: UUID, role: Role) -> Answer:
        """Change another member's role; what they invited others to beyond their new one is taken back.

        NotFound MEMBER_NOT_FOUND; PermissionDenied ROLE_REQUIRED, OWN_ROLE, OWNER_REQUIRED; FailedPrecondition
        LAST_OWNER.
        """

        async def work(tx: Transaction) -> Member:
            await self._members.lock_memberships(tx, org_id)
            principal = await self._permissions.require(tx, org_id, Role.ADMIN)
            member = await self._find(tx.connection, org_id, user_id)
            owners = await self._members.count_owners(tx.connection, org_id)
            is_own = principal.user_id == user_id
            check_change(principal.role, is_own=is_own, current=member.role, new=role, owners=owners)
            if role is member.role:
                return member
            await self._members.set_role(tx, org_id, user_id, role)
            before, after = {"role": member.role.value}, {"role": role.value}
            resource = membership_resource(org_id, user_id)
            await tx.audit("membership.change", resource, org_id=org_id, before=before, after=after)
            message = events.membership_changed(org_id, user_id, role)
            await tx.publish(events.MEMBERSHIP_CHANGED, message, org_id=org_id)
            await self._take_invitations_back(tx, org_id, user_id, role)
            return Member(org_id, user_id, member.email, role)

        return await run_mutation(self._database, mutation, work)

    async def remove(self, mutation: Mutation[None, Answer], org_id: UUID, user_id: UUID) -> Answer:
        """End a membership; everybody may end their own. What they invited others to is taken back.

        NotFound MEMBER_NOT_FOUND; PermissionDenied ROLE_REQUIRED, OWNER_REQUIRED; FailedPrecondition LAST_OWNER.
        """

        async def work(tx: Transaction) -> None:
            await self._members.lock_memberships(tx, org_id)
            is_own = user_of_caller() == user_id
            principal = await self._permissions.require(tx, org_id, Role.USER if is_own else Role.ADMIN)
            member = await self._find(tx.connection, org_id, user_id)
            owners = await self._members.count_owners(tx.connection, org_id)
            check_removal(principal.role, is_own=is_own, current=member.role, owners=owners)
            await self._members.remove_member(tx, org_id, user_id)
            await self._users.set_default_org(tx, user_id, org_id, None)
            before = {"role": member.role.value, "status": "active"}
            await tx.audit("membership.remove", membership_resource(org_id, user_id), org_id=org_id, before=before)
            message = events.membership_changed(org_id, user_id, None)
            await tx.publish(events.MEMBERSHIP_REMOVED, message, org_id=org_id)
            await self._take_invitations_back(tx, org_id, user_id, None)

        return await run_mutation(self._database, mutation, work)

    async def _take_invitations_back(self, tx: Transaction, org_id: UUID, inviter: UUID, role: Role | None) -> None:
        """Revoke what a member with that role could not invite to now, or they would come back in by another address.

        Their membership has changed by then: who invites at the same time is waited for, or rejected.
        """
        beyond = [invited for invited in Role if not may_invite(role, invited)]
        now = tx.clock.now()
        for invitation_id in await self._invitations.revoke_of_inviter(tx, org_id, inviter, beyond, now):
            after = {"revoked_at": now, "reason": "who invited may not any more"}
            await tx.audit("invitation.revoke", f"invitation/{invitation_id}", org_id=org_id, after=after)

    async def _find(self, connection: AsyncConnection, org_id: UUID, user_id: UUID) -> Member:
        member = await self._members.member(connection, org_id, user_id)
        if member is None:
            raise NotFound("MEMBER_NOT_FOUND", "The organisation has no such member.", field="user_id")
        return member
