"""IdentityService: proto in, use case, proto out. What is not built is inherited and answers UNIMPLEMENTED."""

from __future__ import annotations

import grpc
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer

from apportion_identity.app.get_jwks import get_jwks
from apportion_identity.app.ports import AuditTrail, KeySetSource


class IdentityServicer(IdentityServiceServicer):
    """The RPCs of identity that are built."""

    def __init__(self, keys: KeySetSource, audit: AuditTrail) -> None:
        """Answer from a key set and an audit trail."""
        self._keys = keys
        self._audit = audit

    async def GetJwks(
        self, request: pb.GetJwksRequest, context: grpc.aio.ServicerContext[pb.GetJwksRequest, pb.GetJwksResponse]
    ) -> pb.GetJwksResponse:
        """The public keys that access tokens are signed with. UNAVAILABLE KEY_SET_UNUSABLE."""
        return pb.GetJwksResponse(jwks_json=await get_jwks(self._keys))

    async def ListAudit(
        self, request: pb.ListAuditRequest, context: grpc.aio.ServicerContext[pb.ListAuditRequest, pb.ListAuditResponse]
    ) -> pb.ListAuditResponse:
        """A page of audit entries, newest first. INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        entries, next_token = await self._audit.page(request.query)
        return pb.ListAuditResponse(entries=entries, next_page_token=next_token)
