"""The RPCs about members, invitations, join requests and settings."""

from __future__ import annotations

from uuid import uuid4

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion_common.caller import Caller
from apportion_dev.testing.databases import ServiceDatabase
from apportion_identity.app.users import Users
from apportion_identity.wiring import Parts
from identity_harness import OPERATOR, IdentityHarness, org_id, user_id
from sqlalchemy.ext.asyncio import AsyncEngine

SIGN_UP_PAGE = Caller("service_account:sign-up", frozenset({"service"}))


def user(email: str) -> Caller:
    """A person as a token names them; whatever the token says of roles, memberships are the truth."""
    return Caller(f"user:{user_id(email)}", frozenset({"owner"}))


class PeopleHarness(IdentityHarness):
    """Adds people and what they have; its own process lets everybody try a thousand times."""

    def __init__(self, place: ServiceDatabase, engine: AsyncEngine | None = None) -> None:
        super().__init__(place, engine=engine, rate=1_000)

    @property
    def users(self) -> Users:
        return self.parts.users

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

    async def set(self, key: str, value: str, *, parts: Parts | None = None) -> pb.GlobalSetting:
        request = pb.SetGlobalSettingRequest(key=key, value=value, reason="the test says so")
        answer = await self.call(OPERATOR, "SetGlobalSetting", request, parts=parts)
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


def invitation(org: str, email: str, role: pb.MemberRole = pb.MEMBER_ROLE_USER) -> pb.CreateInvitationRequest:
    return pb.CreateInvitationRequest(org_id=org_id(org), email=email, role=role)
