"""The ledger over gRPC, as invoices call it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import grpc
import pytest
import pytest_asyncio
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.ledger.v1.ledger_service_pb2_grpc import LedgerServiceServicer, add_LedgerServiceServicer_to_server
from apportion_common.errors import ApportionError, FailedPrecondition, Unavailable
from apportion_common.grpc.status import abort
from apportion_orgs.adapters import grpc_ledger
from apportion_orgs.adapters.grpc_ledger import GrpcLedger
from apportion_orgs.domain.invoices import HeldLines
from google.type.decimal_pb2 import Decimal
from orgs_harness import account_id, org_id

ACCOUNT = UUID(account_id("group"))


class Ledger(LedgerServiceServicer):
    """Answers what it is told to, after so many rejections."""

    def __init__(self) -> None:
        self.watermark = pb.FixWatermarkResponse(watermark=7, period_closed=True, closed_org_ids=[org_id("a")])
        self.sums = [
            pb.LineSum(
                org_id=org_id("a"),
                sku="OBJ-KM",
                kind=pb.LINE_KIND_REVERSAL,
                currency="AUD",
                line_count=3,
                quantity=Decimal(value="-1.5"),
                gross=Decimal(value="-0.000000001"),
                partner_amount=Decimal(value="0"),
                mapping_id=org_id("m"),
                period="2013-01",
                billed_period="2013-02",
            )
        ]
        self.pages = 1
        self.rejections: list[ApportionError] = []
        self.requests: list[Any] = []

    async def FixWatermark(self, request: pb.FixWatermarkRequest, context: Any) -> pb.FixWatermarkResponse:  # noqa: N802
        self.requests.append(request)
        if self.rejections:
            await abort(context, self.rejections.pop(0))
        return self.watermark

    async def SummarizeLines(  # noqa: N802
        self, request: pb.SummarizeLinesRequest, context: Any
    ) -> AsyncIterator[pb.SummarizeLinesResponse]:
        self.requests.append(request)
        for number in range(self.pages):
            if number and self.rejections:
                await abort(context, self.rejections.pop(0))
            yield pb.SummarizeLinesResponse(sums=self.sums)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest_asyncio.fixture(loop_scope="session")
async def client(ledger: Ledger) -> AsyncIterator[GrpcLedger]:
    server = grpc.aio.server()
    add_LedgerServiceServicer_to_server(ledger, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield GrpcLedger(channel)
    await server.stop(0)


async def test_a_watermark_and_sums_come_through_exactly(client: GrpcLedger, ledger: Ledger) -> None:
    watermark = await client.fix_watermark("2013-01")
    assert (watermark.watermark, watermark.period_closed) == (7, True)
    assert watermark.closed_org_ids == {UUID(org_id("a")).bytes}
    (found,) = await client.summarize_lines(ACCOUNT, 7, "2013-02", [HeldLines("2013-01", 5)])
    assert (found.org_id, found.project_id, found.partner_id) == (UUID(org_id("a")).bytes, None, None)
    assert (found.kind, found.line_count, found.quantity, found.gross) == ("reversal", 3, -1_500_000_000, -1)
    assert (found.mapping_id, found.period, found.billing_period) == (UUID(org_id("m")).bytes, "2013-01", "2013-02")
    request = ledger.requests[-1]
    assert (request.watermark, request.period) == (7, "2013-02")
    assert [(held.through_period, held.watermark) for held in request.held] == [("2013-01", 5)]
    assert await client.summarize_lines(ACCOUNT, 7, "2013-02", []) == [found]
    assert not ledger.requests[-1].held


async def test_sums_that_break_off_are_read_again_from_their_beginning(client: GrpcLedger, ledger: Ledger) -> None:
    ledger.pages = 3
    ledger.rejections = [Unavailable("DATABASE_UNAVAILABLE", "Later.")]
    assert len(await client.summarize_lines(ACCOUNT, 7, "2013-02", [])) == 3
    assert len(ledger.requests) == 2


async def test_an_invoice_of_more_sums_than_one_may_have_is_not_drawn(
    client: GrpcLedger, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.pages = 3
    monkeypatch.setattr(grpc_ledger, "INVOICE_LINES_MAX", 2)
    with pytest.raises(FailedPrecondition) as rejected:
        await client.summarize_lines(ACCOUNT, 7, "2013-02", [])
    assert rejected.value.reason == "INVOICE_TOO_LARGE"
    monkeypatch.setattr(grpc_ledger, "INVOICE_LINES_MAX", 3)
    assert len(await client.summarize_lines(ACCOUNT, 7, "2013-02", [])) == 3


async def test_a_call_to_a_busy_ledger_is_retried(client: GrpcLedger, ledger: Ledger) -> None:
    ledger.rejections = [Unavailable("WATERMARK_BUSY", "Later."), Unavailable("WATERMARK_BUSY", "Later.")]
    assert (await client.fix_watermark("2013-01")).watermark == 7
    assert len(ledger.requests) == 3


async def test_an_error_of_the_ledger_keeps_its_reason(client: GrpcLedger, ledger: Ledger) -> None:
    ledger.rejections = [FailedPrecondition("FEATURE_DISABLED", "Not now.")]
    with pytest.raises(FailedPrecondition) as rejected:
        await client.fix_watermark("2013-01")
    assert rejected.value.reason == "FEATURE_DISABLED"


async def test_an_answer_that_the_contract_does_not_allow_is_not_used(client: GrpcLedger, ledger: Ledger) -> None:
    ledger.watermark = pb.FixWatermarkResponse()
    with pytest.raises(Unavailable) as no_watermark:
        await client.fix_watermark("2013-01")
    ledger.sums[0].kind = pb.LINE_KIND_UNSPECIFIED
    with pytest.raises(Unavailable) as no_kind:
        await client.summarize_lines(ACCOUNT, 7, "2013-02", [])
    assert no_watermark.value.reason == no_kind.value.reason == "LEDGER_ANSWER_UNUSABLE"
