"""RPCs of the audit trail."""

from __future__ import annotations

from typing import Any

from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion.pricing.v1.pricing_service_pb2_grpc import PricingServiceServicer
from apportion_common.db.audit_query import AuditTrail


class AuditRpcs(PricingServiceServicer):
    """The audit trail."""

    audit: AuditTrail

    async def ListAudit(self, request: pb.ListAuditRequest, context: Any) -> pb.ListAuditResponse:
        """Return a page of audit entries, newest first. INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        entries, next_token = await self.audit.page(request.query)
        return pb.ListAuditResponse(entries=entries, next_page_token=next_token)
