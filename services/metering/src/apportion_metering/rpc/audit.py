"""The RPC that lists audit entries."""

from __future__ import annotations

from typing import Any

import grpc
from apportion.metering.v1 import metering_service_pb2 as pb
from apportion.metering.v1.metering_service_pb2_grpc import MeteringServiceServicer
from apportion_common.db.audit_query import AuditTrail

Context = grpc.aio.ServicerContext[Any, Any]


class AuditRpcs(MeteringServiceServicer):
    """What was done here, and by whom."""

    audit: AuditTrail

    async def ListAudit(self, request: pb.ListAuditRequest, context: Context) -> pb.ListAuditResponse:
        """Return this service's audit entries, newest first. INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        entries, token = await self.audit.page(request.query)
        return pb.ListAuditResponse(entries=entries, next_page_token=token)
