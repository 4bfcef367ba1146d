"""Who acts in an organisation, and whether their role is enough.

What a token says of roles is not believed: memberships are the truth.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from apportion_common.caller import OPERATOR, SERVICE, current_caller
from apportion_common.db.unit_of_work import Transaction
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.domain.roles import Role, check_reaches
from apportion_identity.domain.tokens import user_of_subject
from apportion_identity.store.members import MemberStore


class Principal(NamedTuple):
    """Who acts in an organisation, with the role that counts; `user_id` is None for a program."""

    user_id: UUID | None
    role: Role


class Permissions:
    """The caller's role where something is asked of them."""

    def __init__(self, members: MemberStore) -> None:
        """Believe this store."""
        self._members = members

    async def require(self, tx: Transaction, org_id: UUID, needed: Role) -> Principal:
        """Return the caller, who may do here what needs a role; their membership stays until the transaction ends.

        The platform's operator counts as an Owner, its services as Admins. PermissionDenied ROLE_REQUIRED, or
        OWNER_REQUIRED where an Owner is needed.
        """
        platform, user_id = _platform_role(), user_of_caller()
        if platform is None and user_id is not None:
            return _checked(user_id, await self._members.lock_role(tx, org_id, user_id), needed)
        return _checked(user_id, platform, needed)

    async def require_to_read(self, connection: AsyncConnection, org_id: UUID, needed: Role) -> Principal:
        """Require as `require` does, where nothing is changed."""
        platform, user_id = _platform_role(), user_of_caller()
        if platform is None and user_id is not None:
            return _checked(user_id, await self._members.role(connection, org_id, user_id), needed)
        return _checked(user_id, platform, needed)


def user_of_caller() -> UUID | None:
    """Return the user id of the person who calls; None for a program."""
    return user_of_subject(current_caller().subject)


def _platform_role() -> Role | None:
    """Return what the platform's own callers count as."""
    caller = current_caller()
    if caller.has_role(OPERATOR):
        return Role.OWNER
    return Role.ADMIN if caller.has_role(SERVICE) else None


def _checked(user_id: UUID | None, role: Role | None, needed: Role) -> Principal:
    check_reaches(role, needed)
    assert role is not None, "who has no role was rejected"
    return Principal(user_id, role)
