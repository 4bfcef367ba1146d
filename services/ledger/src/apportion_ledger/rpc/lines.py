"""RPCs of lines: list, append, sum, fix a watermark."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.ledger.v1.ledger_service_pb2_grpc import LedgerServiceServicer

from apportion_ledger.app.charges import Charges
from apportion_ledger.app.lines import Lines
from apportion_ledger.app.watermarks import Watermarks
from apportion_ledger.limits import SUMMARY_PAGE_SUMS
from apportion_ledger.rpc.messages import (
    charge_from_message,
    line_query_from_message,
    line_sum_to_message,
    line_to_message,
    summary_query_from_message,
)

Context = grpc.aio.ServicerContext[Any, Any]


class LineRpcs(LedgerServiceServicer):
    """Lines."""

    _lines: Lines
    _charges: Charges
    _watermarks: Watermarks

    async def ListLines(self, request: pb.ListLinesRequest, context: Context) -> pb.ListLinesResponse:
        """Return a page of lines by entry id. INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        query = line_query_from_message(request.filter)
        lines, next_token = await self._lines.page(query, request.page_size, request.page_token)
        return pb.ListLinesResponse(lines=[line_to_message(line) for line in lines], next_page_token=next_token)

    async def AppendCharges(self, request: pb.AppendChargesRequest, context: Context) -> pb.AppendChargesResponse:
        """Write charges from outside the lanes. The same again is a no-op, other content under an id a conflict."""
        charges = [charge_from_message(charge, f"charges[{index}]") for index, charge in enumerate(request.charges)]
        outcome = await self._charges.append(charges)
        return pb.AppendChargesResponse(
            appended_count=len(outcome.hashes),
            known_count=outcome.known_count,
            conflicting_charge_ids=[
                request.charges[charges.index(conflict.charge)].charge_id for conflict in outcome.conflicts
            ],
        )

    async def FixWatermark(self, request: pb.FixWatermarkRequest, context: Context) -> pb.FixWatermarkResponse:
        """Return a point below which no line can appear any more. UNAVAILABLE WATERMARK_BUSY."""
        fixed = await self._watermarks.fix(request.period)
        return pb.FixWatermarkResponse(
            watermark=fixed.watermark,
            period_closed=fixed.period_closed,
            closed_org_ids=[str(org_id) for org_id in fixed.closed_org_ids],
            reopened=[
                pb.ReopenedOrg(org_id=str(org.org_id), reopening=org.reopening, closed=org.closed)
                for org in fixed.reopened
            ],
        )

    async def SummarizeLines(
        self, request: pb.SummarizeLinesRequest, context: Context
    ) -> AsyncIterator[pb.SummarizeLinesResponse]:
        """Yield an account's lines for an invoice, summed, in pages. RESOURCE_EXHAUSTED TOO_MANY_LINES."""
        sums = await self._lines.summary(summary_query_from_message(request))
        for start in range(0, len(sums), SUMMARY_PAGE_SUMS):
            page = sums[start : start + SUMMARY_PAGE_SUMS]
            yield pb.SummarizeLinesResponse(sums=[line_sum_to_message(line_sum) for line_sum in page])
