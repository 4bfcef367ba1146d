"""Members and their roles: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.db.idempotency import run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.ids import parse_uuid
from apportion_common.pages import page_size, read_token, split_page

from apportion_identity.app.members import Members
from apportion_identity.app.messages import ROLE_OF, member_message
from apportion_identity.rpc.values import id_of


class MemberRpcs(IdentityServiceServicer):
    """The RPCs about who belongs to an organisation."""

    _database: Database
    _members: Members

    async def ListMembers(self, request: pb.ListMembersRequest, context: Any) -> pb.ListMembersResponse:
        """List an organisation's members."""
        size, after = page_size(request.page_size), read_token(request.page_token, parse_uuid)
        async with self._database.read() as connection:
            found = await self._members.page(connection, id_of(request.org_id, "org_id"), after, size + 1)
        page, token = split_page(found, size, lambda one: (one.user_id,))
        return pb.ListMembersResponse(members=map(member_message, page), next_page_token=token)

    async def SetMemberRole(self, request: pb.SetMemberRoleRequest, context: Any) -> pb.SetMemberRoleResponse:
        """Change another member's role."""
        org_id, user_id = id_of(request.org_id, "org_id"), id_of(request.user_id, "user_id")

        async def work(tx: Transaction) -> pb.SetMemberRoleResponse:
            member = await self._members.set_role(tx, org_id, user_id, ROLE_OF[request.role])
            return pb.SetMemberRoleResponse(member=member_message(member))

        return await run_mutation(self._database, "SetMemberRole", request, pb.SetMemberRoleResponse, work)

    async def RemoveMember(self, request: pb.RemoveMemberRequest, context: Any) -> pb.RemoveMemberResponse:
        """End a membership."""
        org_id, user_id = id_of(request.org_id, "org_id"), id_of(request.user_id, "user_id")

        async def work(tx: Transaction) -> pb.RemoveMemberResponse:
            await self._members.remove(tx, org_id, user_id)
            return pb.RemoveMemberResponse()

        return await run_mutation(self._database, "RemoveMember", request, pb.RemoveMemberResponse, work)
