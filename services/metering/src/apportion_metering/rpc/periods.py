"""The RPC that closes periods."""

from __future__ import annotations

from typing import Any

import grpc
from apportion.metering.v1 import metering_service_pb2 as pb
from apportion.metering.v1.metering_service_pb2_grpc import MeteringServiceServicer
from apportion_common.caller import current_caller
from apportion_common.db.idempotency import mutation
from apportion_common.ids import parse_uuid

from apportion_metering.app.periods import Periods

Context = grpc.aio.ServicerContext[Any, Any]


class PeriodRpcs(MeteringServiceServicer):
    """The ends of periods."""

    periods: Periods

    async def ClosePeriod(self, request: pb.ClosePeriodRequest, context: Context) -> pb.ClosePeriodResponse:
        """Put a period's close into the lanes."""
        org_ids = [parse_uuid(org_id) for org_id in request.org_ids]
        return await self.periods.close(mutation(request, _closed), request.period, org_ids, current_caller().subject)


def _closed(_: None) -> pb.ClosePeriodResponse:
    return pb.ClosePeriodResponse()
