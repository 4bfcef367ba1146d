"""Private suggestions and join requests: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.caller import current_caller
from apportion_common.db.idempotency import run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.pages import page_size, read_token, split_page

from apportion_identity.app.join_requests import JoinRequests
from apportion_identity.app.messages import JOIN_STATES, join_request_message
from apportion_identity.app.ports.common import RateLimiter
from apportion_identity.rpc.values import id_of, place_of


class JoinRpcs(IdentityServiceServicer):
    """The RPCs about joining a company by the domain of one's address."""

    _database: Database
    _join_requests: JoinRequests
    _suggestion_rate: RateLimiter
    _join_rate: RateLimiter

    async def SuggestOrg(self, request: pb.SuggestOrgRequest, context: Any) -> pb.SuggestOrgResponse:
        """Hint whether a company may be found. RESOURCE_EXHAUSTED SUGGESTION_RATE_LIMITED."""
        self._suggestion_rate.take(current_caller().subject, reason="SUGGESTION_RATE_LIMITED")
        async with self._database.read() as connection:
            return pb.SuggestOrgResponse(may_ask_to_join=await self._join_requests.may_ask(connection, request.email))

    async def CreateJoinRequest(
        self, request: pb.CreateJoinRequestRequest, context: Any
    ) -> pb.CreateJoinRequestResponse:
        """Ask to join the company of one's own address. RESOURCE_EXHAUSTED JOIN_RATE_LIMITED."""
        self._join_rate.take(current_caller().subject, reason="JOIN_RATE_LIMITED")

        async def work(tx: Transaction) -> pb.CreateJoinRequestResponse:
            made = await self._join_requests.create(tx)
            return pb.CreateJoinRequestResponse(join_request_id=str(made.request_id), state=JOIN_STATES[made.state])

        return await run_mutation(self._database, "CreateJoinRequest", request, pb.CreateJoinRequestResponse, work)

    async def ListJoinRequests(self, request: pb.ListJoinRequestsRequest, context: Any) -> pb.ListJoinRequestsResponse:
        """List an organisation's join requests, newest first."""
        size, after = page_size(request.page_size), read_token(request.page_token, place_of)
        async with self._database.read() as connection:
            found = await self._join_requests.page(
                connection, id_of(request.org_id, "org_id"), request.pending_only, after, size + 1
            )
        page, token = split_page(found, size, lambda one: (one.created_at.isoformat(), one.request_id))
        return pb.ListJoinRequestsResponse(join_requests=map(join_request_message, page), next_page_token=token)

    async def DecideJoinRequest(
        self, request: pb.DecideJoinRequestRequest, context: Any
    ) -> pb.DecideJoinRequestResponse:
        """Approve or deny a join request."""
        org_id = id_of(request.org_id, "org_id")
        request_id = id_of(request.join_request_id, "join_request_id")

        async def work(tx: Transaction) -> pb.DecideJoinRequestResponse:
            decided = await self._join_requests.decide(tx, org_id, request_id, approve=request.approve)
            return pb.DecideJoinRequestResponse(join_request=join_request_message(decided))

        return await run_mutation(self._database, "DecideJoinRequest", request, pb.DecideJoinRequestResponse, work)
