"""RPCs of assignments, overrides, and what they come to."""

from __future__ import annotations

from typing import Any

from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion.pricing.v1.pricing_service_pb2_grpc import PricingServiceServicer
from apportion_common.clock import Clock
from apportion_common.db.idempotency import mutation
from apportion_common.fields import id_of, instant_or_now
from grpc.aio import ServicerContext

from apportion_pricing.app.entitlements import Entitlements
from apportion_pricing.rpc.messages import (
    assignment_from_message,
    entitlement_from_message,
    entitlements_to_message,
)

Context = ServicerContext[Any, Any]


class EntitlementRpcs(PricingServiceServicer):
    """Assigns plans, sets overrides, and shows what an organisation gets."""

    clock: Clock
    entitlements: Entitlements

    async def AssignPlan(self, request: pb.AssignPlanRequest, context: Context) -> pb.AssignPlanResponse:
        """Assign a plan to an organisation from a period's start on. FAILED_PRECONDITION CURRENCY_MISMATCH."""

        def assigned(revision: int) -> pb.AssignPlanResponse:
            return pb.AssignPlanResponse(revision=revision)

        row = assignment_from_message(request)
        return await self.entitlements.assign(mutation(request, assigned), row, request.notes)

    async def SetEntitlement(self, request: pb.SetEntitlementRequest, context: Context) -> pb.SetEntitlementResponse:
        """Override values for an organisation or a billing account; replaces its earlier row."""

        def was_set(revision: int) -> pb.SetEntitlementResponse:
            return pb.SetEntitlementResponse(revision=revision)

        return await self.entitlements.set(mutation(request, was_set), entitlement_from_message(request))

    async def GetEffectiveEntitlements(
        self, request: pb.GetEffectiveEntitlementsRequest, context: Context
    ) -> pb.GetEffectiveEntitlementsResponse:
        """Return what an organisation gets at an instant, and where each value is from."""
        org_id = id_of(request.org_id, "org_id").bytes
        found = await self.entitlements.effective(org_id, instant_or_now(request, "at", self.clock))
        return entitlements_to_message(found)
