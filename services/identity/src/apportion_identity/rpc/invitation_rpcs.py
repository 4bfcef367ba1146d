"""Invitations: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.caller import current_caller
from apportion_common.db.idempotency import run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.pages import page_size, read_token, split_page

from apportion_identity.app.invitations import Invitations
from apportion_identity.app.messages import ROLE_OF, invitation_message, member_message
from apportion_identity.app.ports.common import RateLimiter
from apportion_identity.rpc.values import id_of, place_of


class InvitationRpcs(IdentityServiceServicer):
    """The RPCs about invitations."""

    _database: Database
    _invitations: Invitations
    _accept_rate: RateLimiter

    async def CreateInvitation(self, request: pb.CreateInvitationRequest, context: Any) -> pb.CreateInvitationResponse:
        """Invite an address; the token is in this answer alone, and empty when the call is repeated."""
        new = await self._invitations.prepare(id_of(request.org_id, "org_id"), request.email, ROLE_OF[request.role])

        async def work(tx: Transaction) -> pb.CreateInvitationResponse:
            invitation, token = await self._invitations.create(tx, new)
            return pb.CreateInvitationResponse(invitation=invitation_message(invitation, tx.clock.now()), token=token)

        return await run_mutation(self._database, "CreateInvitation", request, pb.CreateInvitationResponse, work)

    async def AcceptInvitation(self, request: pb.AcceptInvitationRequest, context: Any) -> pb.AcceptInvitationResponse:
        """Become a member by an invitation. RESOURCE_EXHAUSTED INVITATION_RATE_LIMITED."""
        self._accept_rate.take(current_caller().subject, reason="INVITATION_RATE_LIMITED")

        async def work(tx: Transaction) -> pb.AcceptInvitationResponse:
            return pb.AcceptInvitationResponse(member=member_message(await self._invitations.accept(tx, request.token)))

        return await run_mutation(self._database, "AcceptInvitation", request, pb.AcceptInvitationResponse, work)

    async def RevokeInvitation(self, request: pb.RevokeInvitationRequest, context: Any) -> pb.RevokeInvitationResponse:
        """Take an invitation back."""
        org_id = id_of(request.org_id, "org_id")
        invitation_id = id_of(request.invitation_id, "invitation_id")

        async def work(tx: Transaction) -> pb.RevokeInvitationResponse:
            revoked = await self._invitations.revoke(tx, org_id, invitation_id)
            return pb.RevokeInvitationResponse(invitation=invitation_message(revoked, tx.clock.now()))

        return await run_mutation(self._database, "RevokeInvitation", request, pb.RevokeInvitationResponse, work)

    async def ListInvitations(self, request: pb.ListInvitationsRequest, context: Any) -> pb.ListInvitationsResponse:
        """List an organisation's invitations, newest first."""
        size, after = page_size(request.page_size), read_token(request.page_token, place_of)
        now = self._database.clock.now()
        async with self._database.read() as connection:
            found = await self._invitations.page(
                connection, id_of(request.org_id, "org_id"), now if request.live_only else None, after, size + 1
            )
        page, token = split_page(found, size, lambda one: (one.created_at.isoformat(), one.invitation_id))
        return pb.ListInvitationsResponse(
            invitations=[invitation_message(one, now) for one in page], next_page_token=token
        )
