"""RPC of the engine's mode."""

from __future__ import annotations

from typing import Any

from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion.pricing.v1.pricing_service_pb2_grpc import PricingServiceServicer
from apportion_common.db.idempotency import mutation
from apportion_common.fields import optional_id_bytes
from apportion_common.selections import require_selection
from grpc.aio import ServicerContext

from apportion_pricing.app.engine_modes import EngineModes
from apportion_pricing.rpc.messages import MODES

Context = ServicerContext[Any, Any]


class EngineModeRpcs(PricingServiceServicer):
    """Sets the engine's mode."""

    engine_modes: EngineModes

    async def SetEngineMode(self, request: pb.SetEngineModeRequest, context: Context) -> pb.SetEngineModeResponse:
        """Set the engine's mode.

        INVALID_ARGUMENT SELECTION_EMPTY, SELECTION_AMBIGUOUS; FAILED_PRECONDITION PARITY_NOT_PROVED.
        """
        require_selection("organisations", named=bool(request.org_id), everything=request.all_orgs)

        def was_set(revision: int) -> pb.SetEngineModeResponse:
            return pb.SetEngineModeResponse(revision=revision)

        org_id = optional_id_bytes(request.org_id, "org_id")
        return await self.engine_modes.set(
            mutation(request, was_set), org_id, MODES[request.mode], request.override_reason
        )
