"""The RPC that tells how far the lanes have come."""

from __future__ import annotations

from typing import Any

import grpc
from apportion.metering.v1 import metering_service_pb2 as pb
from apportion.metering.v1.metering_service_pb2_grpc import MeteringServiceServicer

from apportion_metering.app.lanes import Lanes
from apportion_metering.rpc.messages import pipeline_to_message

Context = grpc.aio.ServicerContext[Any, Any]


class LaneRpcs(MeteringServiceServicer):
    """The pipeline from the intake stream to the ledger."""

    lanes: Lanes

    async def GetPipelineStatus(
        self, request: pb.GetPipelineStatusRequest, context: Context
    ) -> pb.GetPipelineStatusResponse:
        """Return every lane's state."""
        return pipeline_to_message(await self.lanes.status())
