"""Members' roles as commands name them."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from apportion.identity.v1 import identity_service_pb2 as identity

from apportion_cli.display import word


class Role(StrEnum):
    """What a member may do in an organisation."""

    OWNER = "owner"
    ADMIN = "admin"
    USER = "user"


ROLES = {
    Role.OWNER: identity.MEMBER_ROLE_OWNER,
    Role.ADMIN: identity.MEMBER_ROLE_ADMIN,
    Role.USER: identity.MEMBER_ROLE_USER,
}


class HasRole(Protocol):
    """A message with a member's role."""

    @property
    def role(self) -> identity.MemberRole:
        """The role."""
        ...


def role_word(message: HasRole) -> str:
    """Return the role of a message as a word."""
    return word(identity.MemberRole.Name(message.role), "MEMBER_ROLE_")
