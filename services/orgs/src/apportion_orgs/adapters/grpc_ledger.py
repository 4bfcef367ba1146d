"""The ledger over gRPC, as invoices need it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

import grpc
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.ledger.v1.ledger_service_pb2_grpc import LedgerServiceStub
from apportion_common.decimals import AMOUNT_PLACES, QUANTITY_PLACES
from apportion_common.grpc.client import retrying
from apportion_common.grpc.status import error_of
from apportion_common.ids import parse_uuid_bytes
from apportion_common.protos import sum_to_scaled, us_to_timestamp

from apportion_orgs import errors
from apportion_orgs.domain.invoices import Watermark
from apportion_orgs.domain.invoicing import LineSum
from apportion_orgs.limits import FIX_WATERMARK_TIMEOUT_S, SUMMARIZE_LINES_TIMEOUT_S

T = TypeVar("T")

_KINDS: Final = {
    pb.LINE_KIND_USAGE: "usage",
    pb.LINE_KIND_RERATE: "rerate",
    pb.LINE_KIND_BASE: "base",
    pb.LINE_KIND_MINIMUM: "minimum",
    pb.LINE_KIND_ADJUSTMENT: "adjustment",
    pb.LINE_KIND_REVERSAL: "reversal",
}


class GrpcLedger:
    """Calls the ledger; both calls are reads and are retried while it does not answer."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Call over a channel."""
        self._stub = LedgerServiceStub(channel)

    async def fix_watermark(self, period: str) -> Watermark:
        """Fix a watermark, and return whether the period is closed up to it. Raises Unavailable."""
        request = pb.FixWatermarkRequest(period=period)
        answer: pb.FixWatermarkResponse = await _call(self._stub.FixWatermark, request, FIX_WATERMARK_TIMEOUT_S)
        if answer.watermark <= 0:
            raise errors.ledger_answer_unusable("its watermark is not above zero")
        closed = frozenset(parse_uuid_bytes(org_id) for org_id in answer.closed_org_ids)
        return Watermark(answer.watermark, answer.period_closed, closed)

    async def summarize_lines(
        self, account_id: UUID, watermark: int, until_us: int, previous_watermark: int, previous_until_us: int
    ) -> Sequence[LineSum]:
        """Return sums of the account's lines that are on no invoice before. Raises Unavailable."""
        request = pb.SummarizeLinesRequest(
            billing_account_id=str(account_id),
            watermark=watermark,
            until=us_to_timestamp(until_us),
            previous_watermark=previous_watermark,
        )
        if previous_watermark:
            request.previous_until.CopyFrom(us_to_timestamp(previous_until_us))
        answer: pb.SummarizeLinesResponse = await _call(self._stub.SummarizeLines, request, SUMMARIZE_LINES_TIMEOUT_S)
        return [_line_sum(line) for line in answer.sums]


async def _call(call: Callable[..., Any], request: Any, timeout_s: float) -> Any:
    """Return the answer; raise the ledger's error as our own typed one."""
    try:
        return await retrying(call, request, timeout_s)
    except grpc.aio.AioRpcError as error:
        raise error_of(error) from error


def _line_sum(line: pb.LineSum) -> LineSum:
    kind = _KINDS.get(line.kind)
    if kind is None:
        raise errors.ledger_answer_unusable("a line has no known kind")
    return LineSum(
        org_id=parse_uuid_bytes(line.org_id),
        project_id=parse_uuid_bytes(line.project_id) if line.project_id else None,
        sku=line.sku,
        kind=kind,
        currency=line.currency,
        partner_id=parse_uuid_bytes(line.partner_id) if line.partner_id else None,
        partner_from_account=line.partner_from_account,
        line_count=line.line_count,
        quantity=sum_to_scaled(line.quantity, QUANTITY_PLACES, "quantity"),
        gross=sum_to_scaled(line.gross, AMOUNT_PLACES, "gross"),
        partner_amount=sum_to_scaled(line.partner_amount, AMOUNT_PLACES, "partner_amount"),
    )
