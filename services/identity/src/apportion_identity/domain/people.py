"""People as the service knows them: users, members of organisations, and who asks to join one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from apportion_identity.domain.roles import Role


@dataclass(frozen=True, slots=True)
class User:
    """A person who can sign in; the address is normalised."""

    user_id: UUID
    email: str
    default_org_id: UUID | None


@dataclass(frozen=True, slots=True)
class Member:
    """An active member of an organisation."""

    org_id: UUID
    user_id: UUID
    email: str
    role: Role


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """A person who asks to join; `user_id` is None for who has never signed in. `state` as the database names it."""

    request_id: UUID
    org_id: UUID
    user_id: UUID | None
    email: str
    state: str
    created_at: datetime
    decided_at: datetime | None
    decided_by: str
