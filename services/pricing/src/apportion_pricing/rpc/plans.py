"""RPCs of plans and their rows."""

from __future__ import annotations

from typing import Any

from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion.pricing.v1.pricing_service_pb2_grpc import PricingServiceServicer
from apportion_common.clock import Clock
from apportion_common.db.idempotency import mutation
from apportion_common.fields import id_of, instant_or_now
from apportion_common.protos import timestamp_to_us
from grpc.aio import ServicerContext

from apportion_pricing.app.plans import Plans
from apportion_pricing.rpc.messages import plan_from_message, plan_row_from_message, plan_to_message

Context = ServicerContext[Any, Any]


class PlanRpcs(PricingServiceServicer):
    """Adds plans, changes and shows their rows."""

    clock: Clock
    plans: Plans

    async def CreatePlan(self, request: pb.CreatePlanRequest, context: Context) -> pb.CreatePlanResponse:
        """Add a plan with its first rows, from a period's start on."""
        plan = plan_from_message(request, self.clock)
        rows = [plan_row_from_message(row, f"rows[{index}]") for index, row in enumerate(request.rows)]
        effective_at_us = timestamp_to_us(request.effective_at, "effective_at")

        def created(revision: int) -> pb.CreatePlanResponse:
            return pb.CreatePlanResponse(plan=plan_to_message(plan, rows), revision=revision)

        return await self.plans.create(mutation(request, created), plan, rows, effective_at_us)

    async def GetPlan(self, request: pb.GetPlanRequest, context: Context) -> pb.GetPlanResponse:
        """Return a plan and its rows in force at an instant. NOT_FOUND PLAN_NOT_FOUND."""
        at_us = instant_or_now(request, "at", self.clock)
        plan, rows = await self.plans.get(id_of(request.plan_id, "plan_id").bytes, at_us)
        return pb.GetPlanResponse(plan=plan_to_message(plan, rows))

    async def SetPlanSku(self, request: pb.SetPlanSkuRequest, context: Context) -> pb.SetPlanSkuResponse:
        """Add a version of a plan's row. FAILED_PRECONDITION EFFECTIVE_AT_NOT_PERIOD_START."""

        def was_set(revision: int) -> pb.SetPlanSkuResponse:
            return pb.SetPlanSkuResponse(revision=revision)

        return await self.plans.set_row(
            mutation(request, was_set),
            id_of(request.plan_id, "plan_id").bytes,
            plan_row_from_message(request.row, "row"),
            timestamp_to_us(request.effective_at, "effective_at"),
        )
