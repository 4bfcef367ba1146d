"""Members and their roles: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.db.idempotency import mutation
from apportion_common.fields import id_of
from apportion_common.ids import parse_uuid
from apportion_common.pages import page_size, read_token, split_page

from apportion_identity.app.members import Members
from apportion_identity.domain.people import Member
from apportion_identity.rpc.messages import member_to_message, role_from_message


class MemberRpcs(IdentityServiceServicer):
    """The RPCs about who belongs to an organisation."""

    _members: Members

    async def ListMembers(self, request: pb.ListMembersRequest, context: Any) -> pb.ListMembersResponse:
        """List an organisation's members."""
        size, after = page_size(request.page_size), read_token(request.page_token, parse_uuid)
        found = await self._members.page(id_of(request.org_id, "org_id"), after, size + 1)
        page, token = split_page(found, size, lambda one: (one.user_id,))
        return pb.ListMembersResponse(members=map(member_to_message, page), next_page_token=token)

    async def SetMemberRole(self, request: pb.SetMemberRoleRequest, context: Any) -> pb.SetMemberRoleResponse:
        """Change another member's role."""
        org_id, user_id = id_of(request.org_id, "org_id"), id_of(request.user_id, "user_id")
        role = role_from_message(request.role)
        return await self._members.set_role(mutation(request, _changed), org_id, user_id, role)

    async def RemoveMember(self, request: pb.RemoveMemberRequest, context: Any) -> pb.RemoveMemberResponse:
        """End a membership."""
        org_id, user_id = id_of(request.org_id, "org_id"), id_of(request.user_id, "user_id")
        return await self._members.remove(mutation(request, _removed), org_id, user_id)


def _changed(member: Member) -> pb.SetMemberRoleResponse:
    return pb.SetMemberRoleResponse(member=member_to_message(member))


def _removed(_: None) -> pb.RemoveMemberResponse:
    return pb.RemoveMemberResponse()
