"""Users, their memberships, and what a member's role lets them do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from apportion_common.caller import OPERATOR, SERVICE, current_caller
from apportion_common.db.unit_of_work import Transaction
from apportion_common.errors import ApportionError, NotFound, PermissionDenied
from apportion_common.ids import parse_uuid, uuid7
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.app.messages import membership_changed
from apportion_identity.app.ports.people import MemberRecord, MemberStore, UserRecord
from apportion_identity.domain.addresses import same_address
from apportion_identity.domain.roles import Role, check_change, check_reaches, check_removal, may_invite

USER_SUBJECT: Final = "user:"
"""What a person's token subject begins with; the user id follows."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts in an organisation, with the role that counts; `user_id` is None for a program."""

    user_id: UUID | None
    role: Role


class Members:
    """Who belongs to an organisation. What a token says of roles is not believed: memberships are the truth."""

    def __init__(self, store: MemberStore) -> None:
        """Work on this store."""
        self._store = store

    async def actor(self, tx: Transaction, org_id: UUID, needed: Role) -> Actor:
        """The caller, who may do here what needs a role; their membership stands still until the transaction ends.

        The platform's operator counts as an Owner, its services as Admins. PermissionDenied ROLE_REQUIRED, or
        OWNER_REQUIRED where an Owner is needed.
        """
        platform, user_id = _platform_role(), user_of_caller()
        if platform is None and user_id is not None:
            return _checked(user_id, await self._store.hold_role(tx, org_id, user_id), needed)
        return _checked(user_id, platform, needed)

    async def reader(self, connection: AsyncConnection, org_id: UUID, needed: Role) -> Actor:
        """As `actor`, where nothing is changed."""
        platform, user_id = _platform_role(), user_of_caller()
        if platform is None and user_id is not None:
            return _checked(user_id, await self._store.role(connection, org_id, user_id), needed)
        return _checked(user_id, platform, needed)

    async def hold(self, tx: Transaction, org_id: UUID) -> None:
        """Let no membership of the organisation change until the transaction ends; taken before any invitation."""
        await self._store.lock_memberships(tx, org_id)

    async def caller_user(self, connection: AsyncConnection) -> UserRecord | None:
        """The person who calls; None for a program, and for who is gone."""
        user_id = user_of_caller()
        return None if user_id is None else await self._store.user(connection, user_id)

    async def member_of_address(self, connection: AsyncConnection, org_id: UUID, email: str) -> MemberRecord | None:
        """The active member with a normalised address."""
        user = await self._store.user_of_address(connection, email)
        return None if user is None else await self._store.member(connection, org_id, user.user_id)

    async def page(
        self, connection: AsyncConnection, org_id: UUID, after: UUID | None, count: int
    ) -> Sequence[MemberRecord]:
        """Members by user id, from behind `after` on, at most `count`; for members. PermissionDenied ROLE_REQUIRED."""
        await self.reader(connection, org_id, Role.USER)
        return await self._store.members(connection, org_id, after, count)

    async def join(self, tx: Transaction, org_id: UUID, user: UserRecord, role: Role) -> MemberRecord:
        """Make a user a member; who is one already keeps the role they have."""
        await self._store.lock_memberships(tx, org_id)
        there = await self._store.member(tx.connection, org_id, user.user_id)
        if there is not None:
            return there
        await self._store.put_member(tx, org_id, user.user_id, role)
        await self._store.set_default_org(tx, user.user_id, None, org_id)
        after = {"role": role.value, "status": "active"}
        await tx.audit("membership.create", _resource(org_id, user.user_id), org_id=org_id, after=after)
        await tx.publish("identity.membership.created", membership_changed(org_id, user.user_id, role), org_id=org_id)
        return MemberRecord(org_id, user.user_id, user.email, role)

    async def make_first_owner(self, tx: Transaction, org_id: UUID, user: UserRecord) -> bool:
        """Make a user the Owner of an organisation that has none yet; False, and nothing changes, when it has one."""
        await self._store.lock_memberships(tx, org_id)
        if await self._store.count_owners(tx.connection, org_id):
            return False
        before = await self._store.role(tx.connection, org_id, user.user_id)
        await self._store.put_member(tx, org_id, user.user_id, Role.OWNER)
        await self._store.set_default_org(tx, user.user_id, None, org_id)
        await tx.audit(
            "membership.create" if before is None else "membership.change",
            _resource(org_id, user.user_id),
            org_id=org_id,
            before=None if before is None else {"role": before.value},
            after={"role": Role.OWNER.value, "status": "active"},
        )
        event = "created" if before is None else "changed"
        change = membership_changed(org_id, user.user_id, Role.OWNER)
        await tx.publish(f"identity.membership.{event}", change, org_id=org_id)
        return True

    async def set_role(self, tx: Transaction, org_id: UUID, user_id: UUID, role: Role) -> MemberRecord:
        """Change another member's role; what they invited others to beyond their new one is taken back.

        NotFound MEMBER_NOT_FOUND; PermissionDenied ROLE_REQUIRED, OWN_ROLE, OWNER_REQUIRED; FailedPrecondition
        LAST_OWNER.
        """
        await self._store.lock_memberships(tx, org_id)
        actor = await self.actor(tx, org_id, Role.ADMIN)
        member = await self._find(tx.connection, org_id, user_id)
        owners = await self._store.count_owners(tx.connection, org_id)
        is_own = actor.user_id == user_id
        check_change(actor.role, is_own=is_own, current=member.role, new=role, owners=owners)
        if role is member.role:
            return member
        await self._store.set_role(tx, org_id, user_id, role)
        await tx.audit(
            "membership.change",
            _resource(org_id, user_id),
            org_id=org_id,
            before={"role": member.role.value},
            after={"role": role.value},
        )
        await tx.publish("identity.membership.changed", membership_changed(org_id, user_id, role), org_id=org_id)
        await self._take_invitations_back(tx, org_id, user_id, role)
        return MemberRecord(org_id, user_id, member.email, role)

    async def remove(self, tx: Transaction, org_id: UUID, user_id: UUID) -> None:
        """End a membership; everybody may end their own. What they invited others to is taken back.

        NotFound MEMBER_NOT_FOUND; PermissionDenied ROLE_REQUIRED, OWNER_REQUIRED; FailedPrecondition LAST_OWNER.
        """
        await self._store.lock_memberships(tx, org_id)
        is_own = user_of_caller() == user_id
        actor = await self.actor(tx, org_id, Role.USER if is_own else Role.ADMIN)
        member = await self._find(tx.connection, org_id, user_id)
        owners = await self._store.count_owners(tx.connection, org_id)
        check_removal(actor.role, is_own=is_own, current=member.role, owners=owners)
        await self._store.remove_member(tx, org_id, user_id)
        await self._store.set_default_org(tx, user_id, org_id, None)
        before = {"role": member.role.value, "status": "active"}
        await tx.audit("membership.remove", _resource(org_id, user_id), org_id=org_id, before=before)
        await tx.publish("identity.membership.removed", membership_changed(org_id, user_id, None), org_id=org_id)
        await self._take_invitations_back(tx, org_id, user_id, None)

    async def _take_invitations_back(self, tx: Transaction, org_id: UUID, inviter: UUID, role: Role | None) -> None:
        """Revoke what a member with that role could not invite to now, or they would come back in by another address.

        Their membership has changed by then: who invites at the same time is waited for, or refused.
        """
        beyond = [invited for invited in Role if not may_invite(role, invited)]
        now = tx.clock.now()
        for invitation_id in await self._store.revoke_invitations(tx, org_id, inviter, beyond, now):
            after = {"revoked_at": now, "reason": "who invited may not any more"}
            await tx.audit("invitation.revoke", f"invitation/{invitation_id}", org_id=org_id, after=after)

    async def _find(self, connection: AsyncConnection, org_id: UUID, user_id: UUID) -> MemberRecord:
        member = await self._store.member(connection, org_id, user_id)
        if member is None:
            raise NotFound("MEMBER_NOT_FOUND", "The organisation has no such member.", field="user_id")
        return member


class Users:
    """The people who sign in, found by what their issuer says of them or by their verified address."""

    def __init__(self, store: MemberStore) -> None:
        """Work on this store."""
        self._store = store

    async def of_id(self, connection: AsyncConnection, user_id: UUID) -> UserRecord:
        """The user with the id. NotFound USER_NOT_FOUND."""
        found = await self._store.user(connection, user_id)
        if found is None:
            raise NotFound("USER_NOT_FOUND", "There is no such user.", field="user_id")
        return found

    async def of_address(self, tx: Transaction, email: str) -> UserRecord:
        """The user with a normalised address; made when there is none yet."""
        found = await self._store.user_of_address(tx.connection, email)
        if found is not None:
            return found
        new = UserRecord(uuid7(), email, None)
        if await self._store.add_user(tx, new):
            await tx.audit("app_user.create", f"app_user/{new.user_id}", after={"email": email})
            return new
        found = await self._store.user_of_address(tx.connection, email)
        assert found is not None, "an address that is taken belongs to somebody, and no user is ever deleted"
        return found

    async def of_login(self, tx: Transaction, issuer: str, subject: str, email: str) -> UserRecord:
        """The user who signs in at an issuer as a subject; at first sight the one with the address, or a new one.

        `email` is normalised, and verified by the issuer. Once known, a login stays with its user whatever the address
        says later (OpenID Connect Core 1.0, section 5.7), and the user has the address that it says last. A user who
        signs in at the issuer under another subject is not given to this one: the provider has handed the address to
        somebody else. PermissionDenied ADDRESS_HELD.
        """
        found = await self._store.user_of_login(tx.connection, issuer, subject)
        if found is not None:
            return await self._at_address(tx, found, email)
        user = await self.of_address(tx, email)
        await self._store.lock_user(tx, user.user_id)
        if await self._store.has_login_at(tx.connection, user.user_id, issuer):
            twin = await self._store.user_of_login(tx.connection, issuer, subject)
            if twin is not None:
                return twin
            raise PermissionDenied(
                "ADDRESS_HELD", "The address belongs to somebody who signs in there under another account."
            )
        if await self._store.add_login(tx, issuer, subject, user.user_id):
            after = {"issuer": issuer, "subject": subject}
            await tx.audit("user_login.create", f"app_user/{user.user_id}", after=after)
            return user
        twin = await self._store.user_of_login(tx.connection, issuer, subject)
        assert twin is not None, "a login that is taken belongs to somebody, and none is ever deleted"
        return twin

    async def _at_address(self, tx: Transaction, user: UserRecord, email: str) -> UserRecord:
        """The user with the address that is vouched for now: by one of before, nobody asks to join a former company.

        An address that is another user's stays theirs, and this one keeps the old one.
        """
        if same_address(user.email, email) or not await self._store.change_address(tx, user.user_id, email):
            return user
        await tx.audit(
            "app_user.change", f"app_user/{user.user_id}", before={"email": user.email}, after={"email": email}
        )
        return replace(user, email=email)


def user_of_caller() -> UUID | None:
    """The user id of the person who calls; None for a program."""
    return user_of_subject(current_caller().subject)


def user_of_subject(subject: str) -> UUID | None:
    """The user id that a token's subject names; None for a program's."""
    if not subject.startswith(USER_SUBJECT):
        return None
    try:
        return parse_uuid(subject.removeprefix(USER_SUBJECT))
    except ApportionError:
        return None


def _platform_role() -> Role | None:
    """What the platform's own callers count as."""
    caller = current_caller()
    if caller.has_role(OPERATOR):
        return Role.OWNER
    return Role.ADMIN if caller.has_role(SERVICE) else None


def _checked(user_id: UUID | None, role: Role | None, needed: Role) -> Actor:
    check_reaches(role, needed)
    assert role is not None, "who has no role was refused"
    return Actor(user_id, role)


def _resource(org_id: UUID, user_id: UUID) -> str:
    return f"membership/{org_id}/{user_id}"
