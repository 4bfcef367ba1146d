"""PricingService: each RPC is message in, use case, message out. What is not here answers UNIMPLEMENTED."""

from __future__ import annotations

from typing import Any

from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion.pricing.v1.pricing_service_pb2_grpc import PricingServiceServicer
from apportion_common.clock import Clock
from apportion_common.db.idempotency import run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from grpc.aio import ServicerContext

from apportion_pricing.app.catalog import CatalogUseCases
from apportion_pricing.app.engine_mode import EngineModeUseCases
from apportion_pricing.app.entitlements import EntitlementUseCases
from apportion_pricing.app.plans import PlanUseCases
from apportion_pricing.app.ports import AuditTrail, ChargeReader
from apportion_pricing.rpc import mapping

Context = ServicerContext[Any, Any]


class PricingServicer(PricingServiceServicer):
    """The service's RPCs."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        catalog: CatalogUseCases,
        plans: PlanUseCases,
        entitlements: EntitlementUseCases,
        modes: EngineModeUseCases,
        charges: ChargeReader,
        audit: AuditTrail,
    ) -> None:
        self._database = database
        self._clock = clock
        self._catalog = catalog
        self._plans = plans
        self._entitlements = entitlements
        self._modes = modes
        self._charges = charges
        self._audit = audit

    async def CreateSku(self, request: pb.CreateSkuRequest, context: Context) -> pb.CreateSkuResponse:
        """Add a meterable capability. ALREADY_EXISTS SKU_EXISTS."""

        async def work(tx: Transaction) -> pb.CreateSkuResponse:
            revision = await self._catalog.create_sku(tx, mapping.sku_record(request.sku))
            return pb.CreateSkuResponse(sku=request.sku, revision=revision)

        return await run_mutation(self._database, "CreateSku", request, pb.CreateSkuResponse, work)

    async def ListSkus(self, request: pb.ListSkusRequest, context: Context) -> pb.ListSkusResponse:
        """The catalog by SKU, a page at a time."""
        size = mapping.page_size(request.page_size)
        async with self._database.read() as connection:
            skus, more = await self._catalog.list_skus(connection, request.page_token, size)
        return pb.ListSkusResponse(
            skus=[mapping.sku_message(sku) for sku in skus], next_page_token=skus[-1].sku if more else ""
        )

    async def CreatePlan(self, request: pb.CreatePlanRequest, context: Context) -> pb.CreatePlanResponse:
        """Add a plan with its first rows, from a period's start on."""
        plan = mapping.plan_record(request, self._clock)
        rows = [mapping.plan_row(row, f"rows[{index}]") for index, row in enumerate(request.rows)]
        effective_at_us = mapping.instant(request.effective_at, "effective_at")

        async def work(tx: Transaction) -> pb.CreatePlanResponse:
            revision = await self._plans.create_plan(tx, plan, rows, effective_at_us)
            return pb.CreatePlanResponse(plan=mapping.plan_message(plan, rows), revision=revision)

        return await run_mutation(self._database, "CreatePlan", request, pb.CreatePlanResponse, work)

    async def GetPlan(self, request: pb.GetPlanRequest, context: Context) -> pb.GetPlanResponse:
        """A plan and its rows in force at an instant. NOT_FOUND PLAN_NOT_FOUND."""
        plan_id = mapping.id_at(request.plan_id, "plan_id")
        at_us = mapping.instant_or_now(request, self._clock)
        async with self._database.read(snapshot=True) as connection:
            plan, rows = await self._plans.get_plan(connection, plan_id, at_us)
        return pb.GetPlanResponse(plan=mapping.plan_message(plan, rows))

    async def SetPlanSku(self, request: pb.SetPlanSkuRequest, context: Context) -> pb.SetPlanSkuResponse:
        """Add a version of a plan's row. FAILED_PRECONDITION EFFECTIVE_AT_NOT_PERIOD_START."""
        plan_id = mapping.id_at(request.plan_id, "plan_id")
        row = mapping.plan_row(request.row, "row")
        effective_at_us = mapping.instant(request.effective_at, "effective_at")

        async def work(tx: Transaction) -> pb.SetPlanSkuResponse:
            return pb.SetPlanSkuResponse(revision=await self._plans.set_plan_sku(tx, plan_id, row, effective_at_us))

        return await run_mutation(self._database, "SetPlanSku", request, pb.SetPlanSkuResponse, work)

    async def AssignPlan(self, request: pb.AssignPlanRequest, context: Context) -> pb.AssignPlanResponse:
        """Give an organisation a plan from a period's start on. FAILED_PRECONDITION CURRENCY_MISMATCH."""
        row = mapping.assignment(request)
        currency = await self._entitlements.currency_at(row.org_id, row.effective_at_us)

        async def work(tx: Transaction) -> pb.AssignPlanResponse:
            revision = await self._entitlements.assign_plan(tx, row, request.notes, currency)
            return pb.AssignPlanResponse(revision=revision)

        return await run_mutation(self._database, "AssignPlan", request, pb.AssignPlanResponse, work)

    async def SetEntitlement(self, request: pb.SetEntitlementRequest, context: Context) -> pb.SetEntitlementResponse:
        """Override values for an organisation or a billing account; replaces its earlier row."""
        row = mapping.entitlement(request)

        async def work(tx: Transaction) -> pb.SetEntitlementResponse:
            return pb.SetEntitlementResponse(revision=await self._entitlements.set_entitlement(tx, row))

        return await run_mutation(self._database, "SetEntitlement", request, pb.SetEntitlementResponse, work)

    async def GetEffectiveEntitlements(
        self, request: pb.GetEffectiveEntitlementsRequest, context: Context
    ) -> pb.GetEffectiveEntitlementsResponse:
        """What an organisation gets at an instant, and where each value is from."""
        org_id = mapping.id_at(request.org_id, "org_id")
        at_us = mapping.instant_or_now(request, self._clock)
        async with self._database.read() as connection:
            found = await self._entitlements.effective(connection, org_id, at_us)
        return mapping.entitlements_message(found)

    async def SetEngineMode(self, request: pb.SetEngineModeRequest, context: Context) -> pb.SetEngineModeResponse:
        """Set the engine's mode. FAILED_PRECONDITION PARITY_NOT_PROVED."""
        org_id = mapping.id_at(request.org_id, "org_id") if request.org_id else None
        mode = mapping.MODES[request.mode]

        async def work(tx: Transaction) -> pb.SetEngineModeResponse:
            revision = await self._modes.set_mode(tx, org_id, mode, request.override_reason)
            return pb.SetEngineModeResponse(revision=revision)

        return await run_mutation(self._database, "SetEngineMode", request, pb.SetEngineModeResponse, work)

    async def ListCharges(self, request: pb.ListChargesRequest, context: Context) -> pb.ListChargesResponse:
        """Charges in the order in which they were rated."""
        size = mapping.page_size(request.page_size)
        org_id = mapping.id_at(request.org_id, "org_id") if request.org_id else None
        charges = await self._charges.page(org_id, mapping.read_place_token(request.page_token), size + 1)
        return pb.ListChargesResponse(
            charges=[mapping.charge_message(charge) for charge in charges[:size]],
            next_page_token=mapping.place_token(charges[size - 1].place) if len(charges) > size else "",
        )

    async def ListAudit(self, request: pb.ListAuditRequest, context: Context) -> pb.ListAuditResponse:
        """This service's audit entries, newest first. INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        entries, next_token = await self._audit.page(request.query)
        return pb.ListAuditResponse(entries=entries, next_page_token=next_token)
