"""RPCs that list and find plans, their rows, assignments and engine modes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion.pricing.v1.pricing_service_pb2_grpc import PricingServiceServicer
from apportion_common.fields import id_of, optional_id, text_of
from apportion_common.ids import parse_uuid
from apportion_common.names import NameMatch
from apportion_common.pages import int_of, page_size, read_token, split_page
from apportion_common.protos import us_to_timestamp
from grpc.aio import ServicerContext

from apportion_pricing.app.term_lists import TermLists
from apportion_pricing.domain.records import AssignmentRecord, EngineModeRecord, PlanRecord
from apportion_pricing.domain.terms import PlanSkuRow
from apportion_pricing.rpc.messages import mode_to_message, plan_row_to_message, plan_to_message

Context = ServicerContext[Any, Any]


class TermListRpcs(PricingServiceServicer):
    """Lists of terms."""

    term_lists: TermLists

    async def LookupPlans(self, request: pb.LookupPlansRequest, context: Context) -> pb.LookupPlansResponse:
        """Return the plans of each name or id, and what comes nearest to one that no plan has."""
        matches = await self.term_lists.look_up(request.names)
        return pb.LookupPlansResponse(matches=[_match_to_message(match) for match in matches])

    async def ListPlans(self, request: pb.ListPlansRequest, context: Context) -> pb.ListPlansResponse:
        """Return a page of plans by name, without their rows. INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        size, after = page_size(request.page_size), read_token(request.page_token, str)
        found = await self.term_lists.plans(request.search, after, size + 1)
        page, token = split_page(found, size, lambda plan: (plan.name,))
        return pb.ListPlansResponse(plans=[plan_to_message(plan, ()) for plan in page], next_page_token=token)

    async def ListPlanRows(self, request: pb.ListPlanRowsRequest, context: Context) -> pb.ListPlanRowsResponse:
        """Return a page of the rows that a plan ever had. NOT_FOUND PLAN_NOT_FOUND."""
        size, after = page_size(request.page_size), read_token(request.page_token, _sku_and_revision)
        found = await self.term_lists.plan_rows(id_of(request.plan_id, "plan_id"), request.sku, after, size + 1)
        page, token = split_page(found, size, lambda row: (row.sku, row.revision))
        return pb.ListPlanRowsResponse(rows=[_row_to_message(row) for row in page], next_page_token=token)

    async def ListAssignments(self, request: pb.ListAssignmentsRequest, context: Context) -> pb.ListAssignmentsResponse:
        """Return a page of assignments in their order. NOT_FOUND PLAN_NOT_FOUND."""
        size, after = page_size(request.page_size), read_token(request.page_token, _revision_and_org)
        org_id, plan_id = optional_id(request.org_id, "org_id"), optional_id(request.plan_id, "plan_id")
        found = await self.term_lists.assignments(org_id, plan_id, after, size + 1)
        page, token = split_page(found, size, lambda row: (row.revision, row.org_id))
        return pb.ListAssignmentsResponse(
            assignments=[_assignment_to_message(row) for row in page], next_page_token=token
        )

    async def ListEngineModes(self, request: pb.ListEngineModesRequest, context: Context) -> pb.ListEngineModesResponse:
        """Return a page of the modes that were set, in their order. INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        size, after = page_size(request.page_size), read_token(request.page_token, int_of)
        found = await self.term_lists.engine_modes(optional_id(request.org_id, "org_id"), after, size + 1)
        page, token = split_page(found, size, lambda row: (row.revision,))
        return pb.ListEngineModesResponse(modes=[_mode_to_message(row) for row in page], next_page_token=token)


def _sku_and_revision(sku: str, revision: str) -> tuple[str, int]:
    return sku, int_of(revision)


def _revision_and_org(revision: str, org_id: str) -> tuple[int, UUID]:
    return int_of(revision), parse_uuid(org_id)


def _match_to_message(match: NameMatch[PlanRecord]) -> pb.PlanMatch:
    plans = [plan_to_message(plan, ()) for plan in match.found]
    return pb.PlanMatch(name=match.name, plans=plans, nearest=match.nearest)


def _row_to_message(row: PlanSkuRow) -> pb.PlanRow:
    effective_at = us_to_timestamp(row.effective_at_us)
    return pb.PlanRow(row=plan_row_to_message(row), effective_at=effective_at, revision=row.revision)


def _assignment_to_message(row: AssignmentRecord) -> pb.Assignment:
    return pb.Assignment(
        org_id=str(row.org_id),
        plan_id=str(row.plan_id),
        effective_at=us_to_timestamp(row.effective_at_us),
        notes=row.notes,
        revision=row.revision,
    )


def _mode_to_message(row: EngineModeRecord) -> pb.EngineModeSet:
    return pb.EngineModeSet(
        org_id=text_of(row.org_id),
        mode=mode_to_message(row.mode),
        override_reason=row.override_reason,
        revision=row.revision,
        set_at=us_to_timestamp(row.set_at_us),
    )
