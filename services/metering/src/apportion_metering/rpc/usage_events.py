"""RPCs that take usage events in and tell their state."""

from __future__ import annotations

from typing import Any

import grpc
from apportion.metering.v1 import metering_service_pb2 as pb
from apportion.metering.v1.metering_service_pb2_grpc import MeteringServiceServicer
from apportion_common.caller import current_caller
from apportion_common.db.actor import current_traceparent
from apportion_common.ids import parse_uuid

from apportion_metering.app.usage_events import UsageEvents
from apportion_metering.limits import COMMIT_MARGIN_MS
from apportion_metering.rpc.messages import (
    compact_from_message,
    ingest_result_to_message,
    progress_to_message,
    readable_from_message,
)

Context = grpc.aio.ServicerContext[Any, Any]


class UsageEventRpcs(MeteringServiceServicer):
    """Intake."""

    usage_events: UsageEvents
    commit_wait_s: float

    async def IngestEvents(self, request: pb.IngestEventsRequest, context: Context) -> pb.IngestEventsResponse:
        """Take events in."""
        left_s = context.time_remaining()
        wait_s = self.commit_wait_s if left_s is None else max(left_s - COMMIT_MARGIN_MS / 1_000, 0)
        result = await self.usage_events.ingest(
            [readable_from_message(event) for event in request.events],
            [compact_from_message(event) for event in request.compact_events],
            committed=request.acknowledgement == pb.ACKNOWLEDGEMENT_COMMITTED,
            producer=current_caller().subject,
            traceparent=current_traceparent(),
            wait_s=min(wait_s, self.commit_wait_s),
        )
        return ingest_result_to_message(result)

    async def GetEventStatus(self, request: pb.GetEventStatusRequest, context: Context) -> pb.GetEventStatusResponse:
        """Return how far events have come."""
        progress = await self.usage_events.status(parse_uuid(request.org_id), request.request_ids)
        return pb.GetEventStatusResponse(statuses=[progress_to_message(event) for event in progress])
