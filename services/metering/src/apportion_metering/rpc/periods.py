"""The RPC that closes periods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import grpc
from apportion.metering.v1 import metering_service_pb2 as pb
from apportion.metering.v1.metering_service_pb2_grpc import MeteringServiceServicer
from apportion_common.caller import current_caller
from apportion_common.db.idempotency import mutation
from apportion_common.ids import parse_uuid

from apportion_metering.app.periods import Closing, Periods

Context = grpc.aio.ServicerContext[Any, Any]


class PeriodRpcs(MeteringServiceServicer):
    """The ends of periods, and their reopening."""

    periods: Periods

    async def ClosePeriod(self, request: pb.ClosePeriodRequest, context: Context) -> pb.ClosePeriodResponse:
        """Put a period's close into the lanes.

        INVALID_ARGUMENT SELECTION_EMPTY, SELECTION_AMBIGUOUS, REASON_MISSING; OUT_OF_RANGE TIME_OUT_OF_RANGE;
        FAILED_PRECONDITION PERIOD_NOT_OVER, USAGE_UNDER_WAY; UNAVAILABLE STREAM_UNAVAILABLE.
        """
        closing = Closing(
            request.period,
            [parse_uuid(org_id) for org_id in request.org_ids],
            request.all_orgs,
            request.force,
            request.reason,
        )
        return await self.periods.close(mutation(request, _closed), closing, current_caller().subject)

    async def ReopenPeriod(self, request: pb.ReopenPeriodRequest, context: Context) -> pb.ReopenPeriodResponse:
        """Put a period's reopening into the lanes."""
        reopenings = [(parse_uuid(reopening.org_id), reopening.number) for reopening in request.reopenings]
        return await self.periods.reopen_period(
            mutation(request, _reopened), request.period, reopenings, request.reason, current_caller().subject
        )


def _closed(org_ids_without_usage: Sequence[UUID]) -> pb.ClosePeriodResponse:
    return pb.ClosePeriodResponse(org_ids_without_usage=[str(org_id) for org_id in org_ids_without_usage])


def _reopened(_: None) -> pb.ReopenPeriodResponse:
    return pb.ReopenPeriodResponse()
