"""Lines that came after their month was closed: where they belong, who bills them, and what tells them apart."""

from __future__ import annotations

from apportion.common.v1 import lane_pb2 as common_lane_pb2
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion_common.topology import LANES
from ledger_harness import CONTEXT, LedgerHarness


async def test_a_late_line_belongs_to_the_period_of_its_event_and_says_which_one_bills_it(
    ledger: LedgerHarness,
) -> None:
    partner = await ledger.credited("10")
    early, late = ledger.charge("1"), ledger.charge("3", billed_period="2013-04")
    (receipt,) = await ledger.post(ledger.batch([early, late]))
    assert receipt.line_count == 2
    lines = sorted(await ledger.lines(), key=lambda line: line.amount_gross.units)
    assert [(line.period, line.billed_period, line.late) for line in lines] == [
        ("2013-01", "", False),
        ("2013-01", "2013-04", True),
    ]
    assert {line.partner_id for line in lines} == {str(partner)}
    check = await ledger.rpc.CheckLedger(pb.CheckLedgerRequest(), CONTEXT)
    assert [result.name for result in check.results if not result.holds] == []
    # The same charge again is known; with another period to bill it, it is other content.
    again = ledger.charge("3", billed_period="2013-05")
    again.charge_id, again.event_id = late.charge_id, late.event_id
    (repeated,) = await ledger.post(ledger.batch([late, again]))
    (conflict,) = repeated.conflicts
    assert conflict.detail == "billed_period: 2013-04 stands, 2013-05 came"


async def test_a_period_that_cannot_bill_a_line_is_a_conflict_beside_the_lines_of_the_others(
    ledger: LedgerHarness,
) -> None:
    bad = [ledger.charge("1", billed_period=period) for period in ("2013-01", "2012-12", "2013-4!", "x")]
    (receipt,) = await ledger.post(
        ledger.batch([ledger.charge("1"), *bad, ledger.charge("1", billed_period="2013-02")])
    )
    assert receipt.line_count == 2
    assert {conflict.detail for conflict in receipt.conflicts} == {
        "The billed period is no month after the charge's own."
    }


async def test_the_last_of_closes_and_reopenings_counts_and_a_stale_one_does_not(ledger: LedgerHarness) -> None:
    request = pb.FixWatermarkRequest(period="2013-01")

    def change(reopening: int = 0) -> common_lane_pb2.PeriodClose:
        return common_lane_pb2.PeriodClose(period="2013-01", org_id=ledger.org.bytes, reopening=reopening)

    async def said() -> list[tuple[str, int, bool]]:
        fixed = await ledger.rpc.FixWatermark(request, CONTEXT)
        return [(org.org_id, org.reopening, org.closed) for org in fixed.reopened]

    for lane in range(LANES):
        await ledger.post(ledger.batch([], lane=lane, closes=[common_lane_pb2.PeriodClose(period="2013-01")]))
    assert await said() == []
    await ledger.post(ledger.batch([], lane=0, closes=[change(), change(2)]))
    fixed = await ledger.rpc.FixWatermark(request, CONTEXT)
    assert (fixed.period_closed, list(fixed.closed_org_ids)) == (True, [])
    assert await said() == [(str(ledger.org), 2, False)]
    await ledger.post(ledger.batch([], lane=0, closes=[change(), change(1)]))
    assert await said() == [(str(ledger.org), 2, True)]
    await ledger.post(ledger.batch([], lane=0, closes=[change(3), common_lane_pb2.PeriodClose(period="2013-01")]))
    assert await said() == [(str(ledger.org), 3, True)]
