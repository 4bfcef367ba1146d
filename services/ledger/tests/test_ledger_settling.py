"""Real-time payouts, sweeps, statements and the payout job: never twice, never lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

import pytest
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion_common.db.idempotency import mutation
from apportion_common.db.unit_of_work import Transaction
from apportion_common.errors import FailedPrecondition, InvalidArgument
from apportion_dev.testing.plugin import MakeServiceDatabase
from apportion_ledger.app.payouts import Payouts
from apportion_ledger.app.sweeps import Sweeps
from apportion_ledger.domain.settlements import PayoutAnswer, PendingPayout
from apportion_ledger.domain.weeks import Week
from apportion_ledger.limits import PAYOUT_REJECTIONS_MAX
from apportion_ledger.store.payout_instructions import PayoutInstructions
from apportion_ledger.store.settlements import SettlementStore
from apportion_ledger.store.sweeps import SweepStore
from ledger_harness import CONTEXT, UNIT, LedgerHarness, make_harness, money, scaled

WORKER = Path(__file__).parent / "payout_worker.py"


async def paid(ledger: LedgerHarness, *amounts: str, at: str = "2013-01-02T03:04:05") -> list[int]:
    """Charge the amounts in one batch; what was paid for each in real time."""
    charges = [ledger.charge(amount, at=at) for amount in amounts]
    await ledger.charged(*charges)
    return [money((await ledger.line_of(charge)).real_time_paid) for charge in charges]


async def test_a_line_is_paid_at_once_from_the_threshold_on_compared_unrounded(ledger: LedgerHarness) -> None:
    await ledger.credited("10")
    assert await paid(ledger, "49.995", "49.999999999", "50.00", "50.005") == [0, 0, scaled("5"), scaled("5")]
    assert not await ledger.breaches()


async def test_the_share_is_paid_cut_towards_zero_and_earlier_remainders_stay(ledger: LedgerHarness) -> None:
    partner = await ledger.credited("33.3333")
    assert await paid(ledger, "50", "50", "50") == [scaled("16.66")] * 3
    statement = (await ledger.statement(partner))["AUD"]
    assert (money(statement.closing), statement.real_time_count) == (3 * scaled("0.00665"), 3)


async def test_a_negative_balance_suspends_real_time_and_at_zero_it_pays(ledger: LedgerHarness) -> None:
    await ledger.credited("10")
    assert await paid(ledger, "100") == [scaled("10")]
    assert await paid(ledger, "-60", "60", "60") == [0, 0, scaled("6")]
    assert await paid(ledger, "-0.00000001", "60", "60") == [0, 0, scaled("6")]


async def test_a_currency_without_threshold_or_that_is_not_the_partners_is_not_paid_at_once(
    ledger: LedgerHarness,
) -> None:
    partner = await ledger.credited("10")
    yen = ledger.charge("100000", currency="JPY")
    await ledger.charged(yen)
    assert not (await ledger.line_of(yen)).HasField("real_time_paid")
    swept = await ledger.sweep("2013-W01")
    assert swept[partner, "JPY"].carried_reason == "NOT_PAYOUT_CURRENCY"
    statement = await ledger.statement(partner)
    assert (statement["JPY"].payable, money(statement["JPY"].closing)) == (False, scaled("10000"))


async def test_other_thresholds_are_per_currency(service_database: MakeServiceDatabase) -> None:
    ledger = make_harness(service_database("ledger"), threshold="JPY:1000")
    await ledger.credited("10.5", currency="JPY")
    charge = ledger.charge("1003", currency="JPY")
    await ledger.charged(charge)
    # 10.5 % of 1003 is 105.315; a yen has no minor unit.
    assert money((await ledger.line_of(charge)).real_time_paid) == scaled("105")


async def test_a_partner_that_is_held_is_paid_neither_at_once_nor_by_sweep(ledger: LedgerHarness) -> None:
    partner = await ledger.credited("10")
    ledger.as_app(
        "UPDATE partner SET status = 'held'", "UPDATE config_head SET revision = revision + 1"
    )  # as the transaction that holds a partner will
    assert await paid(ledger, "60") == [0]
    assert (await ledger.sweep("2013-W01"))[partner, "AUD"].carried_reason == "HELD"


async def test_a_sweep_pays_what_is_payable_before_the_weeks_end(ledger: LedgerHarness) -> None:
    partner = await ledger.credited("10")
    await paid(ledger, "1.239", "100", at="2013-01-06T23:59:59.999999")
    await paid(ledger, "7", at="2013-01-07T00:00:00")
    result = (await ledger.sweep("2013-W01"))[partner, "AUD"]
    assert (money(result.balance), money(result.paid)) == (scaled("0.1239"), scaled("0.12"))
    result = (await ledger.sweep("2013-W02"))[partner, "AUD"]
    assert (money(result.balance), money(result.paid)) == (scaled("0.7039"), scaled("0.70"))
    assert not await ledger.breaches()
    ((attached,),) = ledger.as_owner("SELECT count(*) FROM settlement_line")
    assert attached == 3


async def test_a_late_line_of_an_earlier_week_is_paid_by_the_next_sweep(ledger: LedgerHarness) -> None:
    partner = await ledger.credited("10")
    await paid(ledger, "3")
    await ledger.sweep("2013-W01")
    await paid(ledger, "4")
    assert money((await ledger.sweep("2013-W01"))[partner, "AUD"].paid) == scaled("0.3")
    assert money((await ledger.sweep("2013-W02"))[partner, "AUD"].paid) == scaled("0.4")


async def test_a_sweep_run_twice_pays_nothing_more(ledger: LedgerHarness) -> None:
    partner = await ledger.credited("10")
    await paid(ledger, "3", "60")
    first = await ledger.sweep("2013-W01")
    assert await ledger.sweep("2013-W01") == first
    assert money(first[partner, "AUD"].paid) == scaled("0.3")
    assert ledger.as_owner("SELECT count(*) FROM settlement WHERE kind = 'sweep'") == [(1,)]


async def test_racing_sweeps_pay_once(ledger: LedgerHarness) -> None:
    await ledger.credited("10")
    await paid(ledger, "3", "60")
    results = await asyncio.gather(*(ledger.sweep("2013-W01") for _ in range(4)))
    assert all(result == results[0] for result in results)
    assert ledger.as_owner("SELECT sum(amount) FROM settlement WHERE kind = 'sweep'")[0][0] * UNIT == scaled("0.3")
    assert not await ledger.breaches()


async def test_a_sweep_that_races_with_posting_pays_what_was_posted(ledger: LedgerHarness) -> None:
    partner = await ledger.credited("10")
    batches = [ledger.batch([ledger.charge("1.5") for _ in range(20)], lane=lane) for lane in range(8)]
    await asyncio.gather(*(ledger.post(batch) for batch in batches[:4]), ledger.sweep("2013-W01"), *(
        ledger.post(batch) for batch in batches[4:]
    ))  # fmt: skip
    await ledger.sweep("2013-W02")
    statement = (await ledger.statement(partner))["AUD"]
    assert money(statement.paid_sweep) == money(statement.earned) == 160 * scaled("0.15")
    assert not await ledger.breaches()
    assert ledger.as_owner("SELECT count(*) FROM settlement_line") == [(160,)]


class LostConnection(SweepStore):
    """The connection is lost when all of a sweep is written."""

    async def finish(self, tx: Transaction, week: Week) -> None:
        await super().finish(tx, week)
        raise ConnectionResetError


async def test_a_sweep_killed_half_way_pays_once_when_it_is_run_again(ledger: LedgerHarness) -> None:
    partner = await ledger.credited("10")
    await paid(ledger, "3")

    request = pb.RunSweepRequest(week="2013-W01", request_id=ledger.request_id())
    killed = Sweeps(ledger.database, LostConnection(), {})
    with pytest.raises(ConnectionResetError):
        await killed.run(mutation(request, lambda _: pb.RunSweepResponse()), request.week)
    assert ledger.as_owner("SELECT count(*) FROM settlement") == [(0,)]
    assert money((await ledger.sweep("2013-W01"))[partner, "AUD"].paid) == scaled("0.3")


async def test_a_negative_balance_is_carried_until_lines_make_up_for_it(ledger: LedgerHarness) -> None:
    partner = await ledger.credited("10")
    await paid(ledger, "100", "-30.004")
    result = (await ledger.sweep("2013-W01"))[partner, "AUD"]
    assert (result.carried_reason, money(result.paid), money(result.balance)) == ("NEGATIVE", 0, -scaled("3.0004"))
    await paid(ledger, "40", at="2013-01-09T00:00:00")
    assert money((await ledger.sweep("2013-W02"))[partner, "AUD"].paid) == scaled("0.99")


async def test_less_than_a_minor_unit_is_carried(ledger: LedgerHarness) -> None:
    partner = await ledger.credited("10", currency="JPY")
    charge = ledger.charge("9.99", currency="JPY")
    await ledger.charged(charge)
    assert (await ledger.sweep("2013-W01"))[partner, "JPY"].carried_reason == "BELOW_MINOR_UNIT"
    await ledger.charged(ledger.charge("0.02", currency="JPY"))
    result = (await ledger.sweep("2013-W02"))[partner, "JPY"]
    assert (money(result.paid), money(result.balance)) == (UNIT, scaled("1.001"))


async def test_less_than_the_minimum_payout_is_carried(service_database: MakeServiceDatabase) -> None:
    ledger = make_harness(service_database("ledger"), minimum="AUD:1")
    partner = await ledger.credited("10")
    await paid(ledger, "9.99")
    assert (await ledger.sweep("2013-W01"))[partner, "AUD"].carried_reason == "BELOW_MINIMUM"
    await paid(ledger, "0.01")
    assert money((await ledger.sweep("2013-W02"))[partner, "AUD"].paid) == UNIT


async def test_a_balance_of_zero_has_no_reason_to_be_carried(ledger: LedgerHarness) -> None:
    partner = await ledger.credited("0")
    await paid(ledger, "9")
    result = (await ledger.sweep("2013-W01"))[partner, "AUD"]
    assert (result.carried_reason, money(result.paid), result.settlement_id) == ("", 0, "")


async def test_a_week_that_is_not_over_or_does_not_exist_is_rejected(ledger: LedgerHarness) -> None:
    with pytest.raises(FailedPrecondition) as rejected:
        await ledger.sweep("2099-W01")
    assert rejected.value.reason == "WEEK_NOT_CLOSED"
    with pytest.raises(InvalidArgument) as malformed:
        await ledger.sweep("2013-W53")
    assert malformed.value.reason == "WEEK_MALFORMED"


async def test_statements_close_and_meet_the_next_months(ledger: LedgerHarness) -> None:
    partner = await ledger.credited("10")
    await paid(ledger, "10", at="2012-12-31T23:59:59.999999")
    await paid(ledger, "60", "20.001", at="2013-01-01T00:00:00")
    await paid(ledger, "70", "5", at="2013-01-31T12:00:00")
    await paid(ledger, "2", at="2013-02-01T00:00:00")
    for week in ("2013-W01", "2013-W02", "2013-W05"):
        await ledger.sweep(week)
    statements = [(await ledger.statement(partner, period))["AUD"] for period in ("2012-12", "2013-01", "2013-02")]
    for row in statements:
        assert money(row.closing) == money(row.opening) + money(row.earned) - money(row.clawed_back) - money(
            row.paid_real_time
        ) - money(row.paid_sweep)
    assert [money(row.opening) for row in statements[1:]] == [money(row.closing) for row in statements[:-1]]
    january = statements[1]
    assert [money(january.earned), money(january.paid_real_time), money(january.paid_sweep)] == [
        scaled("15.5001"), scaled("13"), scaled("3.00"),
    ]  # fmt: skip
    assert (january.line_count, january.real_time_count, january.payable) == (4, 2, True)
    whole = (await ledger.statement(partner))["AUD"]
    assert money(whole.closing) == money(statements[-1].closing)
    assert (money(whole.opening), whole.line_count) == (0, 6)


async def test_settlements_are_listed_page_by_page(ledger: LedgerHarness) -> None:
    partner = await ledger.credited("10")
    await paid(ledger, "60", "70", "3")
    await ledger.sweep("2013-W01")
    found: list[pb.Settlement] = []
    token = ""
    while True:
        request = pb.ListSettlementsRequest(partner_id=str(partner), page_size=2, page_token=token)
        response = await ledger.rpc.ListSettlements(request, CONTEXT)
        found += response.settlements
        token = response.next_page_token
        if not token:
            break
    assert sorted((row.kind, money(row.amount), row.week) for row in found) == [
        (pb.SETTLEMENT_KIND_REAL_TIME, scaled("6"), ""),
        (pb.SETTLEMENT_KIND_REAL_TIME, scaled("7"), ""),
        (pb.SETTLEMENT_KIND_SWEEP, scaled("0.3"), "2013-W01"),
    ]
    sweeps = await ledger.rpc.ListSettlements(pb.ListSettlementsRequest(kind=pb.SETTLEMENT_KIND_SWEEP), CONTEXT)
    assert len(sweeps.settlements) == 1


async def test_pending_payouts_are_instructed_once_and_then_paid(ledger: LedgerHarness) -> None:
    await ledger.credited("10")
    await paid(ledger, "60", "70")
    await ledger.sweep("2013-W01")
    assert await ledger.parts.payouts.settle_pending() == 2
    assert await ledger.parts.payouts.settle_pending() == 0
    rows = ledger.as_owner(
        "SELECT s.state, s.amount = i.amount FROM settlement AS s JOIN payout_instruction AS i USING (settlement_id)"
    )
    assert rows == [("paid", True)] * 2
    entries = ledger.as_owner("SELECT count(*) FROM audit_entry WHERE action = 'settlement.paid'")
    assert entries == [(1,)]
    assert not await ledger.breaches()


async def test_payout_jobs_that_race_pay_once(ledger: LedgerHarness) -> None:
    await ledger.credited("10")
    await paid(ledger, *["60"] * 40)
    counts = await asyncio.gather(*(ledger.parts.payouts.settle_pending() for _ in range(4)))
    assert sum(counts) == 40
    assert ledger.as_owner("SELECT count(*), sum(amount) FROM payout_instruction")[0] == (40, 240)


async def test_a_payout_job_killed_between_instruction_and_state_pays_once(ledger: LedgerHarness) -> None:
    await ledger.credited("10")
    await paid(ledger, "60", "70")
    environment = os.environ | {"LEDGER_TEST_URL": ledger.made.app_url}
    run = await asyncio.to_thread(
        subprocess.run, [sys.executable, str(WORKER)], env=environment, capture_output=True, timeout=60, check=False
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert ledger.as_owner("SELECT count(*) FROM payout_instruction") == [(2,)]
    assert ledger.as_owner("SELECT DISTINCT state FROM settlement") == [("pending",)]
    assert await ledger.parts.payouts.settle_pending() == 2
    assert ledger.as_owner("SELECT count(*), sum(amount) FROM payout_instruction")[0] == (2, 13)
    assert ledger.as_owner("SELECT DISTINCT state FROM settlement") == [("paid",)]


class RejectingGateway:
    """A provider that rejects everything, or does not answer."""

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent

    async def pay(self, payouts: Sequence[PendingPayout]) -> Mapping[UUID, PayoutAnswer]:
        if self.silent:
            raise TimeoutError
        return {payout.settlement_id: PayoutAnswer.REJECTED for payout in payouts}


async def test_a_rejected_payout_is_retried_and_then_returned_to_the_sweep(ledger: LedgerHarness) -> None:
    partner = await ledger.credited("10")
    await paid(ledger, "60")
    payouts = Payouts(ledger.database, SettlementStore(), RejectingGateway())
    for attempt in range(PAYOUT_REJECTIONS_MAX):
        await payouts.settle_pending()
        state = "void" if attempt + 1 == PAYOUT_REJECTIONS_MAX else "pending"
        assert ledger.as_owner("SELECT state, refusals FROM settlement") == [(state, attempt + 1)]
        if state == "pending":
            await payouts.settle_pending()
            assert ledger.as_owner("SELECT refusals FROM settlement") == [(attempt + 1,)]
            ledger.as_app("UPDATE settlement SET refused_at = refused_at - interval '1 hour'")
    assert not await ledger.breaches()
    assert money((await ledger.sweep("2013-W01"))[partner, "AUD"].paid) == scaled("6")
    (line,) = await ledger.lines()
    assert not line.HasField("real_time_paid")
    assert not await ledger.breaches()


async def test_a_rejected_sweep_is_paid_by_the_next(ledger: LedgerHarness) -> None:
    partner = await ledger.credited("10")
    await paid(ledger, "3")
    await ledger.sweep("2013-W01")
    payouts = Payouts(ledger.database, SettlementStore(), RejectingGateway())
    for _ in range(PAYOUT_REJECTIONS_MAX):
        await payouts.settle_pending()
        ledger.as_owner("ALTER TABLE settlement DISABLE TRIGGER settlement_transition")
        ledger.as_app("UPDATE settlement SET refused_at = refused_at - interval '1 hour'")
        ledger.as_owner("ALTER TABLE settlement ENABLE ALWAYS TRIGGER settlement_transition")
    assert money((await ledger.sweep("2013-W02"))[partner, "AUD"].paid) == scaled("0.3")
    assert not await ledger.breaches()


async def test_an_unknown_outcome_leaves_the_payout_pending_under_its_key(ledger: LedgerHarness) -> None:
    await ledger.credited("10")
    await paid(ledger, "60")
    payouts = Payouts(ledger.database, SettlementStore(), RejectingGateway(silent=True))
    with pytest.raises(TimeoutError):
        await payouts.settle_pending()
    assert ledger.as_owner("SELECT state, refusals FROM settlement") == [("pending", 0)]
    await Payouts(ledger.database, SettlementStore(), PayoutInstructions(ledger.database)).settle_pending()
    assert ledger.as_owner("SELECT state, refusals FROM settlement") == [("paid", 0)]


async def test_a_lines_status_follows_its_payouts(ledger: LedgerHarness) -> None:
    other_org = UUID(int=9)
    await ledger.credited("10")
    large, small, bare = ledger.charge("60"), ledger.charge("3"), ledger.charge("3", org=other_org)
    await ledger.charged(large, small, bare)
    query = "SELECT status FROM line_view ORDER BY seq"
    assert ledger.as_owner(query) == [("pending",), ("pending",), ("none",)]
    await ledger.sweep("2013-W01")
    await ledger.parts.payouts.settle_pending()
    assert ledger.as_owner(query) == [("settled",), ("settled",), ("none",)]
