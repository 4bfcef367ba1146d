"""Private suggestions and join requests: a hint that a company may be found, and asking to join it (spec 01, privacy).

Whoever asks learns one bit, and nothing of members: neither who they are nor how many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from apportion_common.db.actor import current_actor
from apportion_common.db.unit_of_work import Transaction
from apportion_common.errors import AlreadyExists, FailedPrecondition, NotFound
from apportion_common.ids import uuid7
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.app.members import Members, Users
from apportion_identity.app.messages import join_request_message
from apportion_identity.app.ports.common import Place
from apportion_identity.app.ports.people import JoinRequestRecord, JoinRequestStore, UserRecord
from apportion_identity.domain.addresses import domain_of, normalise_address
from apportion_identity.domain.coverage import covering_org
from apportion_identity.domain.roles import Role

PENDING: Final = "pending"
APPROVED: Final = "approved"
DENIED: Final = "denied"


class JoinRequests:
    """Who asks to join the company that their address belongs to."""

    def __init__(self, store: JoinRequestStore, members: Members, users: Users) -> None:
        """Work on this store; who is approved becomes one of `members`."""
        self._store = store
        self._members = members
        self._users = users

    async def may_ask(self, connection: AsyncConnection, email: str) -> bool:
        """Whether a company may be found for an address. InvalidArgument EMAIL_MALFORMED."""
        return await self._org_of(connection, normalise_address(email)) is not None

    async def create(self, tx: Transaction) -> JoinRequestRecord:
        """Ask, for the caller, to join the company that their own address falls under.

        NotFound JOIN_NOT_AVAILABLE; AlreadyExists MEMBER_EXISTS or JOIN_REQUEST_EXISTS.
        """
        user = await self._members.caller_user(tx.connection)
        org_id = None if user is None else await self._org_of(tx.connection, normalise_address(user.email))
        if user is None or org_id is None:
            raise NotFound("JOIN_NOT_AVAILABLE", "There is no company to ask for the address that you sign in with.")
        if await self._members.member_of_address(tx.connection, org_id, user.email) is not None:
            raise AlreadyExists("MEMBER_EXISTS", "You belong to the company already.")
        request = JoinRequestRecord(uuid7(), org_id, user.user_id, user.email, PENDING, tx.clock.now(), None, "")
        if not await self._store.add_join_request(tx, request):
            raise AlreadyExists("JOIN_REQUEST_EXISTS", "You have asked already; an Admin of the company decides.")
        after = join_request_message(request)
        await tx.audit("join_request.create", _resource(request), org_id=org_id, after=after)
        return request

    async def decide(self, tx: Transaction, org_id: UUID, request_id: UUID, *, approve: bool) -> JoinRequestRecord:
        """Approve a request, which makes a member with the role User, or deny it.

        NotFound JOIN_REQUEST_NOT_FOUND; FailedPrecondition JOIN_REQUEST_DECIDED; PermissionDenied ROLE_REQUIRED.
        """
        await self._members.actor(tx, org_id, Role.ADMIN)
        request = await self._store.hold_join_request(tx, org_id, request_id)
        if request is None:
            raise NotFound("JOIN_REQUEST_NOT_FOUND", "There is no such join request.", field="join_request_id")
        if request.state != PENDING:
            raise FailedPrecondition("JOIN_REQUEST_DECIDED", f"The request was {request.state} already.")
        decided = replace(
            request,
            state=APPROVED if approve else DENIED,
            decided_at=tx.clock.now(),
            decided_by=current_actor(tx.service).subject,
        )
        await self._store.decide_join_request(tx, decided)
        await tx.audit(
            "join_request.approve" if approve else "join_request.deny",
            _resource(request),
            org_id=org_id,
            before=join_request_message(request),
            after=join_request_message(decided),
        )
        if approve:
            await self._members.join(tx, org_id, await self._user_of(tx, request), Role.USER)
        return decided

    async def page(
        self, connection: AsyncConnection, org_id: UUID, pending_only: bool, after: Place | None, count: int
    ) -> Sequence[JoinRequestRecord]:
        """Requests, newest first, from behind `after` on, at most `count`. PermissionDenied ROLE_REQUIRED."""
        await self._members.reader(connection, org_id, Role.ADMIN)
        return await self._store.join_requests(connection, org_id, pending_only, after, count)

    async def _org_of(self, connection: AsyncConnection, email: str) -> UUID | None:
        domain = domain_of(email)
        return covering_org(domain, await self._store.covering_claims(connection, domain))

    async def _user_of(self, tx: Transaction, request: JoinRequestRecord) -> UserRecord:
        """Who asked; of a request by address alone, the user who has it, made when they have never signed in."""
        if request.user_id is None:
            return await self._users.of_address(tx, normalise_address(request.email))
        return UserRecord(request.user_id, request.email, None)


def _resource(request: JoinRequestRecord) -> str:
    return f"join_request/{request.request_id}"
