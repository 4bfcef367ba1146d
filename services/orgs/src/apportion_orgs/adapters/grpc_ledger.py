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
from apportion_common.protos import sum_to_scaled

from apportion_orgs import errors
from apportion_orgs.domain.invoices import HeldLines, Watermark
from apportion_orgs.domain.invoicing import LineSum
from apportion_orgs.limits import FIX_WATERMARK_TIMEOUT_S, INVOICE_LINES_MAX, SUMMARIZE_LINES_TIMEOUT_S

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
        reopened = {parse_uuid_bytes(org.org_id): (org.reopening, org.closed) for org in answer.reopened}
        return Watermark(answer.watermark, answer.period_closed, closed, reopened)

    async def summarize_lines(
        self, account_id: UUID, watermark: int, period: str, held: Sequence[HeldLines]
    ) -> Sequence[LineSum]:
        """Return sums of the account's lines that no invoice holds.

        Raises Unavailable, FailedPrecondition INVOICE_TOO_LARGE for more than INVOICE_LINES_MAX.
        """
        request = pb.SummarizeLinesRequest(
            billing_account_id=str(account_id),
            watermark=watermark,
            period=period,
            held=[pb.HeldLines(through_period=lines.through_period, watermark=lines.watermark) for lines in held],
        )
        sums: Sequence[LineSum] = await _call(self._all_sums, request, SUMMARIZE_LINES_TIMEOUT_S)
        return sums

    async def _all_sums(self, request: pb.SummarizeLinesRequest, timeout: float) -> list[LineSum]:
        """Return the sums of every page; a stream that breaks off is read again from its beginning."""
        sums: list[LineSum] = []
        ids: dict[str, bytes] = {}
        call = self._stub.SummarizeLines(request, timeout=timeout)
        try:
            async for page in call:
                sums.extend(_line_sum(line, ids) for line in page.sums)
                if len(sums) > INVOICE_LINES_MAX:
                    raise errors.invoice_too_large()
        finally:
            call.cancel()
        return sums


async def _call(call: Callable[..., Any], request: Any, timeout_s: float) -> Any:
    """Return the answer; raise the ledger's error as our own typed one."""
    try:
        return await retrying(call, request, timeout_s)
    except grpc.aio.AioRpcError as error:
        raise error_of(error) from error


def _line_sum(line: pb.LineSum, ids: dict[str, bytes]) -> LineSum:
    """Return a sum; ids that many of them have are read once."""
    kind = _KINDS.get(line.kind)
    if kind is None:
        raise errors.ledger_answer_unusable("a line has no known kind")

    def id_of(text: str) -> bytes:
        found = ids.get(text)
        if found is None:
            found = ids[text] = parse_uuid_bytes(text)
        return found

    return LineSum(
        org_id=id_of(line.org_id),
        project_id=id_of(line.project_id) if line.project_id else None,
        sku=line.sku,
        kind=kind,
        currency=line.currency,
        partner_id=id_of(line.partner_id) if line.partner_id else None,
        partner_from_account=line.partner_from_account,
        mapping_id=id_of(line.mapping_id),
        period=line.period,
        billed_period=line.billed_period,
        line_count=line.line_count,
        quantity=sum_to_scaled(line.quantity, QUANTITY_PLACES, "quantity"),
        gross=sum_to_scaled(line.gross, AMOUNT_PLACES, "gross"),
        partner_amount=sum_to_scaled(line.partner_amount, AMOUNT_PLACES, "partner_amount"),
    )
