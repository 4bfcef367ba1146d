"""Private suggestions and join requests: a hint that a company may be found, and asking to join it (spec 01, privacy).

Whoever asks learns one bit, and nothing of members: neither who they are nor how many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeVar
from uuid import UUID

from apportion_common.db.actor import current_actor
from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.errors import AlreadyExists, FailedPrecondition, NotFound
from apportion_common.ids import uuid7
from apportion_common.pages import TimeCursor
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_identity.app.audit import join_request_entry
from apportion_identity.app.memberships import Memberships
from apportion_identity.app.permissions import Permissions
from apportion_identity.app.users import Users
from apportion_identity.domain.addresses import domain_of, normalise_address
from apportion_identity.domain.coverage import covering_org
from apportion_identity.domain.people import JoinRequest, User
from apportion_identity.domain.roles import Role
from apportion_identity.store.join_requests import JoinRequestStore

PENDING: Final = "pending"
APPROVED: Final = "approved"
DENIED: Final = "denied"

Answer = TypeVar("Answer", bound=Message)


class JoinRequests:
    """Who asks to join the company that their address belongs to."""

    def __init__(
        self,
        database: Database,
        store: JoinRequestStore,
        permissions: Permissions,
        memberships: Memberships,
        users: Users,
    ) -> None:
        """Work on the join requests of a database; who is approved gets one of `memberships`."""
        self._database = database
        self._store = store
        self._permissions = permissions
        self._memberships = memberships
        self._users = users

    async def may_ask(self, email: str) -> bool:
        """Return whether a company may be found for an address. InvalidArgument EMAIL_MALFORMED."""
        async with self._database.read() as connection:
            return await self._org_of(connection, normalise_address(email)) is not None

    async def create(self, mutation: Mutation[JoinRequest, Answer]) -> Answer:
        """Ask, for the caller, to join the company that their own address falls under.

        NotFound JOIN_NOT_AVAILABLE; AlreadyExists MEMBER_EXISTS or JOIN_REQUEST_EXISTS.
        """

        async def work(tx: Transaction) -> JoinRequest:
            user = await self._users.of_caller(tx.connection)
            org_id = None if user is None else await self._org_of(tx.connection, normalise_address(user.email))
            if user is None or org_id is None:
                raise NotFound(
                    "JOIN_NOT_AVAILABLE", "There is no company to ask for the address that you sign in with."
                )
            if await self._memberships.of_address(tx.connection, org_id, user.email) is not None:
                raise AlreadyExists("MEMBER_EXISTS", "You belong to the company already.")
            request = JoinRequest(uuid7(), org_id, user.user_id, user.email, PENDING, tx.clock.now(), None, "")
            if not await self._store.add_join_request(tx, request):
                raise AlreadyExists("JOIN_REQUEST_EXISTS", "You have asked already; an Admin of the company decides.")
            after = join_request_entry(request)
            await tx.audit("join_request.create", _resource(request), org_id=org_id, after=after)
            return request

        return await run_mutation(self._database, mutation, work)

    async def decide(
        self, mutation: Mutation[JoinRequest, Answer], org_id: UUID, request_id: UUID, *, approve: bool
    ) -> Answer:
        """Approve a request, which makes a member with the role User, or deny it.

        NotFound JOIN_REQUEST_NOT_FOUND; FailedPrecondition JOIN_REQUEST_DECIDED; PermissionDenied ROLE_REQUIRED.
        """

        async def work(tx: Transaction) -> JoinRequest:
            # Memberships first: who changes the caller's own holds that lock, and waits for the caller's role.
            await self._memberships.lock(tx, org_id)
            await self._permissions.require(tx, org_id, Role.ADMIN)
            request = await self._store.lock_join_request(tx, org_id, request_id)
            if request is None:
                raise NotFound("JOIN_REQUEST_NOT_FOUND", "There is no such join request.", field="join_request_id")
            if request.state != PENDING:
                raise FailedPrecondition("JOIN_REQUEST_DECIDED", f"The request was {request.state} already.")
            decided = await self._save_decision(tx, request, approve=approve)
            if approve:
                await self._memberships.join(tx, org_id, await self._user_of(tx, request), Role.USER)
            return decided

        return await run_mutation(self._database, mutation, work)

    async def page(
        self, org_id: UUID, after: TimeCursor | None, limit: int, *, pending_only: bool
    ) -> Sequence[JoinRequest]:
        """Return requests, newest first, after a cursor, for Admins. PermissionDenied ROLE_REQUIRED."""
        async with self._database.read() as connection:
            await self._permissions.require_to_read(connection, org_id, Role.ADMIN)
            return await self._store.join_requests(connection, org_id, pending_only, after, limit)

    async def _save_decision(self, tx: Transaction, request: JoinRequest, *, approve: bool) -> JoinRequest:
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
            org_id=request.org_id,
            before=join_request_entry(request),
            after=join_request_entry(decided),
        )
        return decided

    async def _org_of(self, connection: AsyncConnection, email: str) -> UUID | None:
        domain = domain_of(email)
        return covering_org(domain, await self._store.covering_claims(connection, domain))

    async def _user_of(self, tx: Transaction, request: JoinRequest) -> User:
        """Return who asked; of a request by address alone, the user who has it, made when they never signed in."""
        if request.user_id is None:
            return await self._users.of_address(tx, normalise_address(request.email))
        return User(request.user_id, request.email, None)


def _resource(request: JoinRequest) -> str:
    return f"join_request/{request.request_id}"
