"""A world for tests of people: the RPCs about members, invitations, join requests and settings on a real database."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.caller import Caller, acting_as
from apportion_common.clock import FixedClock
from apportion_common.db.unit_of_work import Database
from apportion_common.errors import ApportionError
from apportion_common.rate_limit import RateLimit
from apportion_dev.testing.databases import ServiceDatabase, fetch_all
from apportion_identity.app.invitations import Invitations
from apportion_identity.app.join_requests import JoinRequests
from apportion_identity.app.members import Members, Users
from apportion_identity.app.settings import GlobalSettings
from apportion_identity.rpc.invitation_rpcs import InvitationRpcs
from apportion_identity.rpc.join_rpcs import JoinRpcs
from apportion_identity.rpc.member_rpcs import MemberRpcs
from apportion_identity.rpc.setting_rpcs import SettingRpcs
from apportion_identity.store.invitations import StoredInvitations
from apportion_identity.store.join_requests import StoredJoinRequests
from apportion_identity.store.members import StoredMembers
from apportion_identity.store.settings import StoredSettings
from sqlalchemy.ext.asyncio import AsyncEngine

NAMES = UUID("0b9c0c38-8d2f-4a59-9a11-5a2a4c0b7d61")
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
OPERATOR = Caller("service_account:ops", frozenset({"operator"}))
SIGN_UP_PAGE = Caller("service_account:sign-up", frozenset({"service"}))


def org_id(name: str) -> str:
    return str(uuid5(NAMES, f"org {name}"))


def user_id(email: str) -> str:
    return str(uuid5(NAMES, f"user {email}"))


def user(email: str) -> Caller:
    """A person as a token names them; whatever the token says of roles, memberships are the truth."""
    return Caller(f"user:{user_id(email)}", frozenset({"owner"}))


class PeopleRpcs(InvitationRpcs, JoinRpcs, MemberRpcs, SettingRpcs):
    """The RPCs about people."""

    def __init__(self, world: World, rate: int) -> None:
        stored = StoredMembers()
        self._database = world.database
        self._settings = GlobalSettings(world.database, StoredSettings(), world.clock)
        self._members = Members(stored)
        self._invitations = Invitations(StoredInvitations(), self._members, self._settings)
        self._join_requests = JoinRequests(StoredJoinRequests(), self._members, Users(stored))
        self._accept_rate = RateLimit("tries", rate, 0.1, world.clock, 100)
        self._suggestion_rate = RateLimit("suggestions", rate, 0.1, world.clock, 100)
        self._join_rate = RateLimit("requests", rate, 0.1, world.clock, 100)


class World:
    """Calls RPCs as somebody; every call has a request id of its own unless one is given. The clock stands."""

    def __init__(self, place: ServiceDatabase, engine: AsyncEngine | None = None) -> None:
        """Work on a database, through an engine that has more connections than usual if it is given."""
        self.place = place
        self.clock = FixedClock(NOON)
        self.database = Database(engine or place.engine, place.service, self.clock)
        self.users = Users(StoredMembers())
        self.rpcs = PeopleRpcs(self, rate=1_000)
        self._count = itertools.count(1)

    def process(self, *, rate: int = 1_000) -> PeopleRpcs:
        """The RPCs as another process has them, with caches and limits of its own."""
        return PeopleRpcs(self, rate)

    async def call(self, caller: Caller, method: str, request: Any, *, rpcs: PeopleRpcs | None = None) -> Any:
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
            request.request_id = f"call {next(self._count)}"
        with acting_as(caller):
            return await getattr(rpcs or self.rpcs, method)(request, None)

    async def refused(
        self, caller: Caller, method: str, request: Any, *, rpcs: PeopleRpcs | None = None
    ) -> ApportionError:
        with pytest.raises(ApportionError) as refusal:
            await self.call(caller, method, request, rpcs=rpcs)
        return refusal.value

    async def reason(self, caller: Caller, method: str, request: Any) -> tuple[str, str]:
        """Status and reason that a call is refused with."""
        error = await self.refused(caller, method, request)
        return error.code, error.reason

    def add_user(self, email: str) -> Caller:
        self.write("INSERT INTO app_user (user_id, email) VALUES (%s, %s)", user_id(email), email)
        return user(email)

    def add_member(self, org: str, email: str, role: str, status: str = "active") -> Caller:
        caller = user(email) if self.rows("SELECT 1 FROM app_user WHERE email = %s", email) else self.add_user(email)
        self.write(
            "INSERT INTO membership (org_id, user_id, role, status) VALUES (%s, %s, %s, %s)",
            org_id(org),
            user_id(email),
            role,
            status,
        )
        return caller

    def add_claim(
        self, org: str, domain: str, *, wildcard: bool = False, status: str = "verified", proof: str = "{}"
    ) -> None:
        """A claim that came to its status as claims do."""
        claim_id = uuid4()
        self.write(
            "INSERT INTO domain_claim (claim_id, org_id, domain, status, created_by, created_at, updated_at)"
            " VALUES (%s, %s, %s, %s, 'user:a', now(), now())",
            claim_id,
            org_id(org),
            domain,
            "pending_conflict" if status == "pending_conflict" else "pending",
        )
        if status in ("verified", "revoked"):
            self.write(
                "UPDATE domain_claim SET status = 'verified', verified_at = now(), wildcard = %s, proof = %s"
                " WHERE claim_id = %s",
                wildcard,
                proof,
                claim_id,
            )
        if status == "revoked":
            self.write("UPDATE domain_claim SET status = 'revoked' WHERE claim_id = %s", claim_id)

    async def invite(
        self, inviter: Caller, org: str, email: str, role: pb.MemberRole = pb.MEMBER_ROLE_USER
    ) -> pb.CreateInvitationResponse:
        answer: pb.CreateInvitationResponse = await self.call(inviter, "CreateInvitation", invitation(org, email, role))
        return answer

    async def accept(self, caller: Caller, token: str) -> pb.Member:
        answer = await self.call(caller, "AcceptInvitation", pb.AcceptInvitationRequest(token=token))
        member: pb.Member = answer.member
        return member

    async def set(self, key: str, value: str, *, rpcs: PeopleRpcs | None = None) -> pb.GlobalSetting:
        request = pb.SetGlobalSettingRequest(key=key, value=value, reason="the test says so")
        answer = await self.call(OPERATOR, "SetGlobalSetting", request, rpcs=rpcs)
        setting: pb.GlobalSetting = answer.setting
        return setting

    def roles(self, org: str) -> dict[str, str]:
        """The active members' roles by address."""
        return dict(
            self.rows(
                "SELECT email::text, role FROM membership JOIN app_user USING (user_id)"
                " WHERE org_id = %s AND status = 'active'",
                org_id(org),
            )
        )

    def audited(self, *actions: str) -> Sequence[str]:
        """The actions that were audited, in order; only those named when any is."""
        found = [action for (action,) in self.rows("SELECT action FROM audit_entry ORDER BY at, audit_id")]
        return [action for action in found if not actions or action in actions]

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What the owner of the database sees."""
        return fetch_all(self.place.owner_url, query, parameters)

    def write(self, statement: str, *parameters: Any) -> None:
        """What was there before."""
        fetch_all(self.place.owner_url, f"WITH written AS ({statement} RETURNING 1) SELECT * FROM written", parameters)

    def pass_time(self, **by: float) -> None:
        self.clock.advance(timedelta(**by))


def invitation(org: str, email: str, role: pb.MemberRole = pb.MEMBER_ROLE_USER) -> pb.CreateInvitationRequest:
    return pb.CreateInvitationRequest(org_id=org_id(org), email=email, role=role)
