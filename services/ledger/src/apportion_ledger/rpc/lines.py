"""RPCs of lines: list, append, sum, fix a watermark."""

from __future__ import annotations

from typing import Any

import grpc
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.ledger.v1.ledger_service_pb2_grpc import LedgerServiceServicer
from apportion_common.decimals import AMOUNT_PLACES, QUANTITY_PLACES
from apportion_common.protos import (
    money_from_proto,
    scaled_to_decimal_proto,
    timestamp_to_us,
    to_scaled,
    us_to_timestamp,
)

from apportion_ledger.app.append_charges import AppendCharges
from apportion_ledger.app.lines import Lines
from apportion_ledger.app.ports import Charge, LineQuery, LineSum, SummaryQuery
from apportion_ledger.app.watermarks import Watermarks
from apportion_ledger.rpc.convert import LINE_KINDS, id_of, line_message, optional_id, optional_us, place_of, text_of

Context = grpc.aio.ServicerContext[Any, Any]


class LineRpcs(LedgerServiceServicer):
    """Lines."""

    lines: Lines
    append_charges: AppendCharges
    watermarks: Watermarks

    async def ListLines(self, request: pb.ListLinesRequest, context: Context) -> pb.ListLinesResponse:
        """A page of lines by entry id. INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        wanted = request.filter
        query = LineQuery(
            optional_id(wanted.org_id, "filter.org_id"),
            optional_id(wanted.project_id, "filter.project_id"),
            wanted.sku or None,
            optional_id(wanted.partner_id, "filter.partner_id"),
            optional_id(wanted.billing_account_id, "filter.billing_account_id"),
            optional_id(wanted.event_id, "filter.event_id"),
            optional_us(wanted, "from"),
            optional_us(wanted, "until"),
        )
        lines, place = await self.lines.page(query, request.page_size, place_of(request.page_token))
        return pb.ListLinesResponse(lines=[line_message(line) for line in lines], next_page_token=text_of(place))

    async def AppendCharges(self, request: pb.AppendChargesRequest, context: Context) -> pb.AppendChargesResponse:
        """Write charges from outside the lanes. The same again is a no-op, other content under an id a conflict."""
        charges = [_charge(charge, f"charges[{index}]") for index, charge in enumerate(request.charges)]
        outcome = await self.append_charges.append(charges)
        return pb.AppendChargesResponse(
            appended_count=len(outcome.hashes),
            known_count=outcome.known_count,
            conflicting_charge_ids=[
                request.charges[charges.index(conflict.charge)].charge_id for conflict in outcome.conflicts
            ],
        )

    async def FixWatermark(self, request: pb.FixWatermarkRequest, context: Context) -> pb.FixWatermarkResponse:
        """A point below which no line can appear any more. UNAVAILABLE WATERMARK_BUSY."""
        fixed = await self.watermarks.fix(request.period)
        return pb.FixWatermarkResponse(
            watermark=fixed.watermark,
            period_closed=fixed.period_closed,
            closed_org_ids=[str(org_id) for org_id in fixed.closed_org_ids],
        )

    async def SummarizeLines(self, request: pb.SummarizeLinesRequest, context: Context) -> pb.SummarizeLinesResponse:
        """An account's lines for an invoice, summed. RESOURCE_EXHAUSTED TOO_MANY_LINES."""
        sums = await self.lines.summary(
            SummaryQuery(
                id_of(request.billing_account_id, "billing_account_id"),
                request.watermark,
                timestamp_to_us(request.until, "until"),
                request.previous_watermark,
                optional_us(request, "previous_until"),
            )
        )
        return pb.SummarizeLinesResponse(sums=[_sum_message(line_sum) for line_sum in sums])


def _charge(charge: pb.ChargeToAppend, field: str) -> Charge:
    currency, gross = money_from_proto(charge.amount, f"{field}.amount")
    event_time_us = timestamp_to_us(charge.event_time, f"{field}.event_time")
    project_id = optional_id(charge.project_id, f"{field}.project_id")
    return Charge(
        id_of(charge.charge_id, f"{field}.charge_id").bytes,
        id_of(charge.event_id, f"{field}.event_id").bytes,
        id_of(charge.org_id, f"{field}.org_id").bytes,
        b"" if project_id is None else project_id.bytes,
        id_of(charge.billing_account_id, f"{field}.billing_account_id").bytes,
        id_of(charge.mapping_id, f"{field}.mapping_id").bytes,
        charge.sku,
        charge.sku_type,
        to_scaled(charge.quantity, QUANTITY_PLACES, f"{field}.quantity"),
        currency,
        gross,
        event_time_us,
        us_to_timestamp(event_time_us).ToDatetime().strftime("%Y-%m"),
        None,
    )


def _sum_message(line_sum: LineSum) -> pb.LineSum:
    return pb.LineSum(
        org_id=str(line_sum.org_id),
        project_id=text_of(line_sum.project_id),
        sku=line_sum.sku,
        kind=LINE_KINDS[line_sum.kind],
        currency=line_sum.currency,
        partner_id=text_of(line_sum.partner_id),
        partner_from_account=line_sum.partner_from_account,
        line_count=line_sum.line_count,
        quantity=scaled_to_decimal_proto(line_sum.quantity, QUANTITY_PLACES),
        gross=scaled_to_decimal_proto(line_sum.gross, AMOUNT_PLACES),
        partner_amount=scaled_to_decimal_proto(line_sum.share, AMOUNT_PLACES),
        mapping_id=str(line_sum.mapping_id),
    )
