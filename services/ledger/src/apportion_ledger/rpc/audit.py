"""RPCs of the audit trail."""

from __future__ import annotations

from typing import Any

import grpc
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.ledger.v1.ledger_service_pb2_grpc import LedgerServiceServicer
from apportion_common.db.audit_query import AuditTrail

Context = grpc.aio.ServicerContext[Any, Any]


class AuditRpcs(LedgerServiceServicer):
    """The audit trail."""

    _audit: AuditTrail

    async def ListAudit(self, request: pb.ListAuditRequest, context: Context) -> pb.ListAuditResponse:
        """Return a page of audit entries, newest first. INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        entries, next_token = await self._audit.page(request.query)
        return pb.ListAuditResponse(entries=entries, next_page_token=next_token)
