"""What members may do to one another (spec 01, data and invitations): Owner above Admin above User.

Functions take who acts and what is, and raise the rejection; they decide nothing about the database.
"""

from __future__ import annotations

from enum import Enum

from apportion_common.errors import FailedPrecondition, PermissionDenied


class Role(Enum):
    """A member's role in an organisation, by the name that the database keeps."""

    OWNER = "Owner"
    ADMIN = "Admin"
    USER = "User"

    @property
    def rank(self) -> int:
        """How much a role may do; a greater one may do what a smaller one may."""
        return _RANKS[self]

    def reaches(self, needed: Role) -> bool:
        """Return whether who has this role may do what needs the other."""
        return self.rank >= needed.rank


_RANKS = {Role.USER: 1, Role.ADMIN: 2, Role.OWNER: 3}


def check_reaches(role: Role | None, needed: Role) -> None:
    """Raise PermissionDenied ROLE_REQUIRED (OWNER_REQUIRED for an Owner's right) unless the role is enough.

    `role` is None for who is no member at all.
    """
    if role is None or not role.reaches(needed):
        raise owner_required() if needed is Role.OWNER else role_required(needed)


def check_invite(inviter: Role, invited: Role) -> None:
    """Check who may invite whom: an Admin and an Owner anyone below an Owner, an Owner alone an Owner.

    Raises PermissionDenied ROLE_REQUIRED or OWNER_REQUIRED.
    """
    check_reaches(inviter, Role.ADMIN)
    check_reaches(inviter, _invites(invited))


def may_invite(inviter: Role | None, invited: Role) -> bool:
    """Return whether `check_invite` lets somebody invite; `inviter` is None for who is no member any more."""
    return inviter is not None and inviter.reaches(_invites(invited))


def _invites(invited: Role) -> Role:
    """Return the least role that invites to this one."""
    return Role.OWNER if invited is Role.OWNER else Role.ADMIN


def check_change(actor: Role, *, is_own: bool, current: Role, new: Role, owners: int) -> None:
    """Check who may change whose role; `owners` counts the organisation's Owners before the change.

    Nobody changes their own role, only an Owner makes or unmakes one, and one Owner always stays. Raises
    PermissionDenied ROLE_REQUIRED, OWN_ROLE or OWNER_REQUIRED, FailedPrecondition LAST_OWNER.
    """
    check_reaches(actor, Role.ADMIN)
    if is_own:
        raise PermissionDenied("OWN_ROLE", "Nobody changes their own role; another Owner or Admin does.")
    if Role.OWNER in (current, new):
        check_reaches(actor, Role.OWNER)
    if current is Role.OWNER and new is not Role.OWNER:
        _check_one_stays(owners)


def check_removal(actor: Role, *, is_own: bool, current: Role, owners: int) -> None:
    """Check who may end whose membership: everybody their own, an Admin anyone's but an Owner's, an Owner anyone's.

    The last Owner stays. Raises PermissionDenied ROLE_REQUIRED or OWNER_REQUIRED, FailedPrecondition LAST_OWNER.
    """
    if not is_own:
        check_reaches(actor, Role.ADMIN)
        if current is Role.OWNER:
            check_reaches(actor, Role.OWNER)
    if current is Role.OWNER:
        _check_one_stays(owners)


def _check_one_stays(owners: int) -> None:
    if owners <= 1:
        raise FailedPrecondition("LAST_OWNER", "An organisation keeps one Owner; make another member Owner first.")


def role_required(needed: Role) -> PermissionDenied:
    """Return the rejection of what members of a role may do."""
    return PermissionDenied("ROLE_REQUIRED", f"This needs the role {needed.value} in the organisation.")


def owner_required() -> PermissionDenied:
    """Return the rejection of what only an Owner may do."""
    return PermissionDenied("OWNER_REQUIRED", "Only an Owner of the organisation may do this.")
