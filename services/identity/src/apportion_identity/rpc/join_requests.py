"""Private suggestions and join requests: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.caller import current_caller
from apportion_common.db.idempotency import mutation
from apportion_common.fields import id_of
from apportion_common.pages import page_size, read_token, split_page, time_cursor
from apportion_common.rate_limit import RateLimit

from apportion_identity.app.join_requests import JoinRequests
from apportion_identity.domain.people import JoinRequest
from apportion_identity.rpc.messages import JOIN_STATES, join_request_to_message


class JoinRequestRpcs(IdentityServiceServicer):
    """The RPCs about joining a company by the domain of one's address."""

    _join_requests: JoinRequests
    _suggestion_rate: RateLimit
    _join_rate: RateLimit

    async def SuggestOrg(self, request: pb.SuggestOrgRequest, context: Any) -> pb.SuggestOrgResponse:
        """Hint whether a company may be found. RESOURCE_EXHAUSTED SUGGESTION_RATE_LIMITED."""
        self._suggestion_rate.take(current_caller().subject, reason="SUGGESTION_RATE_LIMITED")
        return pb.SuggestOrgResponse(may_ask_to_join=await self._join_requests.may_ask(request.email))

    async def CreateJoinRequest(
        self, request: pb.CreateJoinRequestRequest, context: Any
    ) -> pb.CreateJoinRequestResponse:
        """Ask to join the company of one's own address. RESOURCE_EXHAUSTED JOIN_RATE_LIMITED."""
        self._join_rate.take(current_caller().subject, reason="JOIN_RATE_LIMITED")
        return await self._join_requests.create(mutation(request, _created))

    async def ListJoinRequests(self, request: pb.ListJoinRequestsRequest, context: Any) -> pb.ListJoinRequestsResponse:
        """List an organisation's join requests, newest first."""
        size, after = page_size(request.page_size), read_token(request.page_token, time_cursor)
        org_id = id_of(request.org_id, "org_id")
        found = await self._join_requests.page(org_id, after, size + 1, pending_only=request.pending_only)
        page, token = split_page(found, size, lambda one: (one.created_at, one.request_id))
        return pb.ListJoinRequestsResponse(join_requests=map(join_request_to_message, page), next_page_token=token)

    async def DecideJoinRequest(
        self, request: pb.DecideJoinRequestRequest, context: Any
    ) -> pb.DecideJoinRequestResponse:
        """Approve or deny a join request."""
        org_id, request_id = id_of(request.org_id, "org_id"), id_of(request.join_request_id, "join_request_id")
        return await self._join_requests.decide(
            mutation(request, _decided), org_id, request_id, approve=request.approve
        )


def _created(made: JoinRequest) -> pb.CreateJoinRequestResponse:
    return pb.CreateJoinRequestResponse(join_request_id=str(made.request_id), state=JOIN_STATES[made.state])


def _decided(decided: JoinRequest) -> pb.DecideJoinRequestResponse:
    return pb.DecideJoinRequestResponse(join_request=join_request_to_message(decided))
