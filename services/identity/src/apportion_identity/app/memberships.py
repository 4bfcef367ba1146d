"""Becoming a member of an organisation, by whichever way: audited and published."""

from __future__ import annotations

from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.app import events
from apportion_identity.domain.people import Member, User
from apportion_identity.domain.roles import Role
from apportion_identity.store.members import MemberStore
from apportion_identity.store.users import UserStore


class Memberships:
    """Who belongs to an organisation; each call is made inside its caller's transaction."""

    def __init__(self, members: MemberStore, users: UserStore) -> None:
        """Work on these stores."""
        self._members = members
        self._users = users

    async def lock(self, tx: Transaction, org_id: UUID) -> None:
        """Let no membership of the organisation change until the transaction ends; taken before any invitation."""
        await self._members.lock_memberships(tx, org_id)

    async def of_address(self, connection: AsyncConnection, org_id: UUID, email: str) -> Member | None:
        """Return the active member with a normalised address."""
        user = await self._users.user_of_address(connection, email)
        return None if user is None else await self._members.member(connection, org_id, user.user_id)

    async def join(self, tx: Transaction, org_id: UUID, user: User, role: Role) -> Member:
        """Make a user a member; who is one already keeps the role they have."""
        await self._members.lock_memberships(tx, org_id)
        existing = await self._members.member(tx.connection, org_id, user.user_id)
        if existing is not None:
            return existing
        await self._members.put_member(tx, org_id, user.user_id, role)
        await self._users.set_default_org(tx, user.user_id, None, org_id)
        after = {"role": role.value, "status": "active"}
        await tx.audit("membership.create", membership_resource(org_id, user.user_id), org_id=org_id, after=after)
        message = events.membership_changed(org_id, user.user_id, role)
        await tx.publish(events.MEMBERSHIP_CREATED, message, org_id=org_id)
        return Member(org_id, user.user_id, user.email, role)

    async def make_first_owner(self, tx: Transaction, org_id: UUID, user: User) -> bool:
        """Make a user the Owner of an organisation that has none yet; False, and nothing changes, when it has one."""
        await self._members.lock_memberships(tx, org_id)
        if await self._members.count_owners(tx.connection, org_id):
            return False
        before = await self._members.role(tx.connection, org_id, user.user_id)
        await self._members.put_member(tx, org_id, user.user_id, Role.OWNER)
        await self._users.set_default_org(tx, user.user_id, None, org_id)
        await tx.audit(
            "membership.create" if before is None else "membership.change",
            membership_resource(org_id, user.user_id),
            org_id=org_id,
            before=None if before is None else {"role": before.value},
            after={"role": Role.OWNER.value, "status": "active"},
        )
        event_type = events.MEMBERSHIP_CREATED if before is None else events.MEMBERSHIP_CHANGED
        await tx.publish(event_type, events.membership_changed(org_id, user.user_id, Role.OWNER), org_id=org_id)
        return True


def membership_resource(org_id: UUID, user_id: UUID) -> str:
    """Return the name of a membership in audit entries."""
    return f"membership/{org_id}/{user_id}"
