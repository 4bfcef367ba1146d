"""RPCs of the audit trail."""

from __future__ import annotations

from typing import Any

from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceServicer
from apportion_common.db.audit_query import AuditTrail


class AuditRpcs(IdentityServiceServicer):
    """The audit trail."""

    _audit: AuditTrail

    async def ListAudit(self, request: pb.ListAuditRequest, context: Any) -> pb.ListAuditResponse:
        """Return a page of audit entries, newest first. INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        entries, next_token = await self._audit.page(request.query)
        return pb.ListAuditResponse(entries=entries, next_page_token=next_token)
