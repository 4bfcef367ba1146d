"""The RPC that opens a period again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion.orgs.v1.orgs_service_pb2_grpc import OrgsServiceServicer
from apportion_common.db.idempotency import mutation
from apportion_common.fields import id_of

from apportion_orgs.app.period_reopenings import PeriodReopenings, Reopenings


class PeriodRpcs(OrgsServiceServicer):
    """Reopens periods."""

    periods: PeriodReopenings

    async def ReopenPeriod(self, request: pb.ReopenPeriodRequest, context: Any) -> pb.ReopenPeriodResponse:
        """Open a period again for organisations, as long as no invoice of it is final."""
        org_ids = [id_of(org_id, "org_ids") for org_id in request.org_ids]
        return await self.periods.reopen(
            mutation(request, _reopened), request.period, org_ids, request.reason, _reopenings_of
        )


def _reopenings_of(answer: pb.ReopenPeriodResponse) -> Reopenings:
    return [(UUID(reopening.org_id), reopening.number) for reopening in answer.reopenings]


def _reopened(reopenings: Reopenings) -> pb.ReopenPeriodResponse:
    return pb.ReopenPeriodResponse(
        reopenings=[pb.PeriodReopening(org_id=str(org_id), number=number) for org_id, number in reopenings]
    )
