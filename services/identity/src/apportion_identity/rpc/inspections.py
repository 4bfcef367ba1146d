"""Looking at a domain: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.caller import current_caller
from apportion_common.rate_limit import RateLimit

from apportion_identity.app.inspections import Inspections
from apportion_identity.rpc.messages import inspection_to_message


class InspectionRpcs(IdentityServiceServicer):
    """The RPC that shows what a mail from a domain would be verified by."""

    _inspections: Inspections
    _inspection_rate: RateLimit

    async def InspectDomain(self, request: pb.InspectDomainRequest, context: Any) -> pb.InspectDomainResponse:
        """Look at a domain. RESOURCE_EXHAUSTED INSPECTION_RATE_LIMITED."""
        self._inspection_rate.take(current_caller().subject, reason="INSPECTION_RATE_LIMITED")
        return inspection_to_message(await self._inspections.inspect(request.domain, request.selector))
