"""Watermarks, closed periods, and the sums below a watermark."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import uuid4

import pytest
from apportion.common.v1 import lane_pb2 as common_lane_pb2
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion_common.errors import ResourceExhausted, Unavailable
from apportion_common.topology import LANES
from apportion_ledger.app import lines as lines_app
from apportion_ledger.app import watermarks as watermark_module
from apportion_ledger.rpc import lines as lines_rpc
from ledger_harness import CONTEXT, UNIT, LedgerHarness, scaled

LATE_LINE: Final = """
    INSERT INTO ledger_line (entry_id, charge_id, event_id, kind, org_id, billing_account_id, mapping_id, sku, sku_type,
        quantity, amount_gross, partner_from_account, partner_pct, partner_amount, net, catalog_revision, orgs_revision,
        ledger_revision, event_time, content_hash, currency, period, billed_period)
    VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'usage', '{org}', '{account}', '{mapping}',
        'ACT-SMS', 'action', 1, 4, false, 0, 0, 4, 0, 0, 0, '2013-01-02Z', sha256('x'), 'AUD', '2013-01', '2013-02')
"""


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


async def watermark_of(ledger: LedgerHarness) -> int:
    fixed: int = (await ledger.rpc.FixWatermark(pb.FixWatermarkRequest(period="2013-01"), CONTEXT)).watermark
    return fixed


async def pages_of(
    ledger: LedgerHarness, watermark: int, period: str, *held: tuple[str, int]
) -> list[pb.SummarizeLinesResponse]:
    """The pages of the account's sums, beside what invoices hold."""
    request = pb.SummarizeLinesRequest(
        billing_account_id=str(ledger.account),
        watermark=watermark,
        period=period,
        held=[pb.HeldLines(through_period=through, watermark=below) for through, below in held],
    )
    return [page async for page in ledger.rpc.SummarizeLines(request, CONTEXT)]


async def sums_of(ledger: LedgerHarness, watermark: int, period: str, *held: tuple[str, int]) -> list[pb.LineSum]:
    return [row for page in await pages_of(ledger, watermark, period, *held) for row in page.sums]


async def gross_of(ledger: LedgerHarness, watermark: int, period: str, *held: tuple[str, int]) -> int:
    return sum(scaled(row.gross.value) for row in await sums_of(ledger, watermark, period, *held))


async def test_each_line_is_in_exactly_one_of_an_accounts_invoices(ledger: LedgerHarness) -> None:
    await ledger.charged(ledger.charge("1"), ledger.charge("2", at="2013-02-01T00:00:00"))
    first = await watermark_of(ledger)
    await ledger.charged(ledger.charge("4"), ledger.charge("8", account=uuid4()))
    assert await gross_of(ledger, first, "2013-01") == 1 * UNIT
    second = await watermark_of(ledger)
    assert await gross_of(ledger, second, "2013-02", ("2013-01", first)) == 6 * UNIT
    assert await gross_of(ledger, second, "2013-02") == 7 * UNIT


async def test_an_earlier_period_that_is_invoiced_after_a_later_one_takes_its_own_lines(ledger: LedgerHarness) -> None:
    await ledger.charged(ledger.charge("1", at="2013-02-01T00:00:00"))
    february = await watermark_of(ledger)
    await ledger.charged(ledger.charge("2"), ledger.charge("4", at="2013-02-02T00:00:00"))
    january = await watermark_of(ledger)
    await ledger.charged(ledger.charge("8"), ledger.charge("16", at="2013-03-02T00:00:00"))
    assert await gross_of(ledger, january, "2013-01", ("2013-02", february)) == 2 * UNIT
    held = (("2013-02", february), ("2013-01", january))
    assert await gross_of(ledger, await watermark_of(ledger), "2013-02", *held) == 12 * UNIT
    assert await gross_of(ledger, await watermark_of(ledger), "2013-03", *held) == 28 * UNIT


async def test_a_line_is_summed_where_it_is_billed_and_says_when_it_was_used(ledger: LedgerHarness) -> None:
    await ledger.charged(ledger.charge("1"), ledger.charge("2", at="2013-02-01T00:00:00"))
    ledger.as_owner(LATE_LINE.format(account=ledger.account, org=ledger.org, mapping=ledger.mapping))
    watermark = await watermark_of(ledger)
    assert [
        (row.period, row.billed_period, row.gross.value) for row in await sums_of(ledger, watermark, "2013-02")
    ] == [("2013-01", "", "1"), ("2013-01", "2013-02", "4"), ("2013-02", "", "2")]
    assert await gross_of(ledger, watermark, "2013-01") == UNIT
    assert await gross_of(ledger, watermark, "2013-02", ("2013-01", watermark)) == 6 * UNIT


async def test_sums_come_in_pages_by_the_period_that_bills_them(
    ledger: LedgerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.charged(
        *(
            ledger.charge("1", sku=f"ACT-{number}", at=f"2013-0{month}-02T00:00:00")
            for month in (2, 1, 3)
            for number in range(3)
        )
    )
    monkeypatch.setattr(lines_rpc, "SUMMARY_PAGE_SUMS", 4)
    pages = await pages_of(ledger, await watermark_of(ledger), "2013-03")
    assert [len(page.sums) for page in pages] == [4, 4, 1]
    assert [row.period for page in pages for row in page.sums] == ["2013-01"] * 3 + ["2013-02"] * 3 + ["2013-03"] * 3
    monkeypatch.setattr(lines_app, "SUMMARY_KEYS_MAX", 8)
    with pytest.raises(ResourceExhausted) as rejected:
        await pages_of(ledger, await watermark_of(ledger), "2013-03")
    assert rejected.value.reason == "TOO_MANY_LINES"


async def test_sums_are_by_what_an_invoice_shows(ledger: LedgerHarness) -> None:
    await ledger.credited("10")
    project = uuid4()
    await ledger.charged(
        ledger.charge("1", quantity="2", project=project), ledger.charge("3", project=project), ledger.charge("5")
    )
    found = {
        row.project_id: (row.line_count, row.quantity.value, row.gross.value, row.partner_amount.value, row.mapping_id)
        for row in await sums_of(ledger, await watermark_of(ledger), "2013-01")
    }
    assert found == {
        str(project): (2, "3", "4", "0.4", str(ledger.mapping)),
        "": (1, "1", "5", "0.5", str(ledger.mapping)),
    }
