"""Watermarks, closed periods, and the sums below a watermark."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from apportion.common.v1 import lane_pb2 as common_lane_pb2
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion_common.errors import Unavailable
from apportion_common.topology import LANES
from apportion_ledger.app import watermarks as watermark_module
from ledger_harness import CONTEXT, UNIT, LedgerHarness, scaled, timestamp


async def test_a_watermark_waits_for_a_transaction_in_progress(ledger: LedgerHarness) -> None:
    request = pb.FixWatermarkRequest(period="2013-01")
    async with ledger.made.owner_engine.connect() as other:
        await other.exec_driver_sql("SELECT pg_current_xact_id()")
        waiting = asyncio.create_task(ledger.rpc.FixWatermark(request, CONTEXT))
        await ledger.charged(ledger.charge("3"))
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done
        await other.commit()
        fixed = await waiting
    ((below,),) = ledger.as_owner(f"SELECT posted_xid < '{fixed.watermark}'::xid8 FROM ledger_line")
    later = ledger.charge("4")
    await ledger.charged(later)
    rows = ledger.as_owner(f"SELECT posted_xid < '{fixed.watermark}'::xid8 FROM ledger_line ORDER BY seq")
    assert rows == [(below,), (False,)]


async def test_a_watermark_that_has_to_wait_too_long_is_rejected(
    ledger: LedgerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watermark_module, "_POLLS", 3)
    async with ledger.made.owner_engine.connect() as other:
        await other.exec_driver_sql("SELECT pg_current_xact_id()")
        with pytest.raises(Unavailable) as busy:
            await ledger.rpc.FixWatermark(pb.FixWatermarkRequest(period="2013-01"), CONTEXT)
        assert busy.value.reason == "WATERMARK_BUSY"


async def test_a_period_is_closed_when_every_lane_has_closed_it_for_all(ledger: LedgerHarness) -> None:
    request = pb.FixWatermarkRequest(period="2013-01")
    close = common_lane_pb2.PeriodClose(period="2013-01")
    single = common_lane_pb2.PeriodClose(period="2013-01", org_id=ledger.org.bytes)
    await ledger.post(ledger.batch([], lane=0, closes=[close, single]))
    for lane in range(1, LANES):
        fixed = await ledger.rpc.FixWatermark(request, CONTEXT)
        assert (fixed.period_closed, list(fixed.closed_org_ids)) == (False, [str(ledger.org)])
        await ledger.post(ledger.batch([], lane=lane, closes=[close]))
    assert (await ledger.rpc.FixWatermark(request, CONTEXT)).period_closed
    assert not (await ledger.rpc.FixWatermark(pb.FixWatermarkRequest(period="2013-02"), CONTEXT)).period_closed


async def test_each_line_is_in_exactly_one_of_an_accounts_invoices(ledger: LedgerHarness) -> None:
    until = {"first": timestamp("2013-02-01"), "second": timestamp("2013-03-01")}

    async def watermark() -> int:
        fixed: int = (await ledger.rpc.FixWatermark(pb.FixWatermarkRequest(period="2013-01"), CONTEXT)).watermark
        return fixed

    async def gross(at: int, end: str, previous: int = 0) -> int:
        request = pb.SummarizeLinesRequest(
            billing_account_id=str(ledger.account),
            watermark=at,
            until=until[end],
            previous_watermark=previous,
            previous_until=until["first"] if previous else None,
        )
        sums = (await ledger.rpc.SummarizeLines(request, CONTEXT)).sums
        return sum(scaled(row.gross.value) for row in sums)

    await ledger.charged(ledger.charge("1"), ledger.charge("2", at="2013-02-01T00:00:00"))
    first = await watermark()
    await ledger.charged(ledger.charge("4"), ledger.charge("8", account=uuid4()))
    assert await gross(first, "first") == 1 * UNIT
    second = await watermark()
    assert await gross(second, "second", first) == 6 * UNIT
    assert await gross(second, "second") == 7 * UNIT


async def test_sums_are_by_what_an_invoice_shows(ledger: LedgerHarness) -> None:
    await ledger.credited("10")
    project = uuid4()
    await ledger.charged(
        ledger.charge("1", quantity="2", project=project), ledger.charge("3", project=project), ledger.charge("5")
    )
    watermark = (await ledger.rpc.FixWatermark(pb.FixWatermarkRequest(period="2013-01"), CONTEXT)).watermark
    request = pb.SummarizeLinesRequest(
        billing_account_id=str(ledger.account), watermark=watermark, until=timestamp("2013-02-01")
    )
    sums = (await ledger.rpc.SummarizeLines(request, CONTEXT)).sums
    found = {
        row.project_id: (row.line_count, row.quantity.value, row.gross.value, row.partner_amount.value, row.mapping_id)
        for row in sums
    }
    assert found == {
        str(project): (2, "3", "4", "0.4", str(ledger.mapping)),
        "": (1, "1", "5", "0.5", str(ledger.mapping)),
    }
