"""Invitations: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.caller import current_caller
from apportion_common.db.idempotency import mutation
from apportion_common.fields import id_of
from apportion_common.pages import page_size, read_token, split_page, time_cursor
from apportion_common.rate_limit import RateLimit

from apportion_identity.app.invitations import Invitations, InvitationView, NewInvitation
from apportion_identity.domain.people import Member
from apportion_identity.rpc.messages import invitation_to_message, member_to_message, role_from_message


class InvitationRpcs(IdentityServiceServicer):
    """The RPCs about invitations."""

    _invitations: Invitations
    _accept_rate: RateLimit

    async def CreateInvitation(self, request: pb.CreateInvitationRequest, context: Any) -> pb.CreateInvitationResponse:
        """Invite an address; the token is in this answer alone, and empty when the call is repeated."""
        org_id, role = id_of(request.org_id, "org_id"), role_from_message(request.role)
        return await self._invitations.create(mutation(request, _created), org_id, request.email, role)

    async def AcceptInvitation(self, request: pb.AcceptInvitationRequest, context: Any) -> pb.AcceptInvitationResponse:
        """Become a member by an invitation. RESOURCE_EXHAUSTED INVITATION_RATE_LIMITED."""
        self._accept_rate.take(current_caller().subject, reason="INVITATION_RATE_LIMITED")
        return await self._invitations.accept(mutation(request, _accepted), request.token)

    async def RevokeInvitation(self, request: pb.RevokeInvitationRequest, context: Any) -> pb.RevokeInvitationResponse:
        """Take an invitation back."""
        org_id, invitation_id = id_of(request.org_id, "org_id"), id_of(request.invitation_id, "invitation_id")
        return await self._invitations.revoke(mutation(request, _revoked), org_id, invitation_id)

    async def ListInvitations(self, request: pb.ListInvitationsRequest, context: Any) -> pb.ListInvitationsResponse:
        """List an organisation's invitations, newest first."""
        size, after = page_size(request.page_size), read_token(request.page_token, time_cursor)
        org_id = id_of(request.org_id, "org_id")
        found = await self._invitations.page(org_id, after, size + 1, live_only=request.live_only)
        page, token = split_page(found, size, lambda one: (one.invitation.created_at, one.invitation.invitation_id))
        return pb.ListInvitationsResponse(invitations=map(invitation_to_message, page), next_page_token=token)


def _created(made: NewInvitation) -> pb.CreateInvitationResponse:
    return pb.CreateInvitationResponse(invitation=invitation_to_message(made.view), token=made.token)


def _accepted(member: Member) -> pb.AcceptInvitationResponse:
    return pb.AcceptInvitationResponse(member=member_to_message(member))


def _revoked(view: InvitationView) -> pb.RevokeInvitationResponse:
    return pb.RevokeInvitationResponse(invitation=invitation_to_message(view))
