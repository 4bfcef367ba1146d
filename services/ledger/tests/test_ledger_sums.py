"""What lines add up to has more digits than a line, and one partner's sums stop nobody else's."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Final
from uuid import UUID, uuid4

import psycopg
import pytest
from alembic import command
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase, fetch_all
from apportion_dev.testing.plugin import MakeServiceDatabase
from apportion_ledger.limits import PAYOUT_AMOUNT_MAX
from ledger_harness import CONTEXT, LedgerHarness, make_harness, money, scaled
from psycopg import errors

LARGEST: Final = "999999999999999999.999999999"
WEEK: Final = "2013-W01"
EXACT: Final = Context(prec=80)
BEFORE: Final = "20261130_16_period_reopenings"
REVISION: Final = "20261130_17_ledger_sums"
WIDTHS: Final = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE (c.relname, a.attname) IN (('settlement', 'amount'), ('payout_instruction', 'amount'),
        ('sweep_claim', 'paid'), ('line_view', 'real_time_amount'))
    ORDER BY 1
"""
CHECKS: Final = """
    SELECT conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint
    WHERE conrelid IN ('settlement'::regclass, 'sweep_claim'::regclass) AND contype = 'c' ORDER BY 1
"""
SETTLED: Final = """
    WITH made AS (
        INSERT INTO partner (partner_id, name, payout_currency) VALUES (gen_random_uuid(), 'One', 'AUD')
        RETURNING partner_id
    )
    INSERT INTO settlement (settlement_id, partner_id, kind, currency, amount, week, business_day, idempotency_key)
    SELECT gen_random_uuid(), partner_id, 'sweep', 'AUD', {amount}, '2013-W01', '2013-01-06', 'key' FROM made
"""


def exact(number: object) -> Decimal:
    """A Decimal message as a number."""
    return Decimal(number.value)  # type: ignore[attr-defined]


def times(count: int, share: str) -> Decimal:
    """What some lines of one share add up to."""
    return EXACT.multiply(Decimal(count), Decimal(share))


async def large_and_small(ledger: LedgerHarness, *, lines: int, pct: str) -> tuple[UUID, UUID]:
    """A partner with so many of the largest lines, a day apart, and one with a line of 40, whose share is 24."""
    large, small = await ledger.partner(tier="large"), await ledger.partner(tier="small")
    await ledger.rate(pct, tier="large")
    await ledger.rate("60", tier="small")
    other = uuid4()
    await ledger.por(large)
    await ledger.por(small, org=other)
    charges = [ledger.charge(LARGEST, quantity=LARGEST) for _ in range(lines)]
    await ledger.charged(*charges, ledger.charge("40", org=other))
    return large, small


@pytest.fixture
def weekly(service_database: MakeServiceDatabase) -> LedgerHarness:
    """A ledger that pays Australian dollars by sweeps alone."""
    return make_harness(service_database("ledger"), threshold="JPY:5000")


async def swept(ledger: LedgerHarness, week: str = WEEK) -> dict[tuple[UUID, str], pb.SweepResult]:
    """What a sweep did, also when it is asked for again."""
    results = await ledger.sweep(week)
    assert await ledger.sweep(week) == results
    return results


async def test_a_partner_whose_lines_add_up_to_more_than_a_line_holds_is_paid_as_all_others_are(
    weekly: LedgerHarness,
) -> None:
    ledger = weekly
    large, small = await large_and_small(ledger, lines=2, pct="60")
    results = await swept(ledger)
    assert (money(results[small, "AUD"].paid), results[small, "AUD"].carried_reason) == (scaled("24"), "")
    assert money(results[large, "AUD"].paid) == scaled("1199999999999999999.99")
    assert exact(results[large, "AUD"].exact_balance) == times(2, "599999999999999999.999999999")
    assert not await ledger.breaches()


async def test_a_balance_beyond_the_largest_payout_is_paid_week_by_week_and_stops_nobody(
    weekly: LedgerHarness,
) -> None:
    ledger = weekly
    large, small = await large_and_small(ledger, lines=30, pct="100")
    first = await swept(ledger)
    assert money(first[small, "AUD"].paid) == scaled("24")
    row = first[large, "AUD"]
    assert (money(row.paid), row.carried_reason) == (PAYOUT_AMOUNT_MAX // 10**7 * 10**7, "ABOVE_PAYOUT_MAX")
    assert not row.HasField("balance")
    assert exact(row.exact_balance) == times(30, LARGEST)
    paid, week = money(row.paid), 1
    while row.carried_reason == "ABOVE_PAYOUT_MAX":
        week += 1
        row = (await swept(ledger, f"2013-W{week:02}"))[large, "AUD"]
        paid += money(row.paid)
    assert (week, paid) == (4, int(times(30, LARGEST) * 100) * 10**7)
    assert not await ledger.breaches()


async def test_every_report_of_many_of_the_largest_lines_says_what_they_add_up_to(
    weekly: LedgerHarness,
) -> None:
    ledger = weekly
    large, small = await large_and_small(ledger, lines=30, pct="100")
    await ledger.sweep(WEEK)
    assert await ledger.parts.payouts.settle_pending() == 2
    total = times(30, LARGEST)
    statement = (await ledger.statement(large))["AUD"]
    assert exact(statement.exact.earned) == total
    assert not statement.HasField("earned")
    assert exact(statement.exact.closing) == EXACT.subtract(total, Decimal(statement.exact.paid_sweep.value))
    assert money((await ledger.statement(small))["AUD"].earned) == scaled("24")
    trial = await ledger.rpc.GetTrialBalance(pb.GetTrialBalanceRequest(), CONTEXT)
    sums = {row.account: (exact(row.debit), exact(row.credit)) for row in trial.rows}
    assert (trial.balanced, sums["receivable"][0]) == (True, EXACT.add(total, 40))
    digest = await ledger.rpc.GetDigest(pb.GetDigestRequest(), CONTEXT)
    assert {(exact(row.quantity), exact(row.gross)) for row in digest.gross} == {(total, total), (1, 40)}
    watermark = (await ledger.rpc.FixWatermark(pb.FixWatermarkRequest(period="2013-01"), CONTEXT)).watermark
    request = pb.SummarizeLinesRequest(billing_account_id=str(ledger.account), watermark=watermark, period="2013-01")
    found = {
        (exact(one.quantity), exact(one.gross), exact(one.partner_amount))
        async for page in ledger.rpc.SummarizeLines(request, CONTEXT)
        for one in page.sums
    }
    assert found == {(total, total, total), (1, 40, 24)}
    listed = await ledger.rpc.ListSettlements(pb.ListSettlementsRequest(), CONTEXT)
    assert sorted(money(one.amount) for one in listed.settlements) == [
        scaled("24"),
        PAYOUT_AMOUNT_MAX // 10**7 * 10**7,
    ]
    assert not await ledger.breaches()


async def test_real_time_payouts_go_on_beyond_what_a_line_holds(ledger: LedgerHarness) -> None:
    partner = await ledger.credited("100")
    await ledger.charged(*(ledger.charge(LARGEST) for _ in range(30)))
    statement = (await ledger.statement(partner))["AUD"]
    assert exact(statement.exact.paid_real_time) == times(30, "999999999999999999.99")
    assert not await ledger.breaches()


@pytest.fixture
def database(database_factory: DatabaseFactory) -> ServiceDatabase:
    """A database that stands before payouts were sums."""
    database = database_factory.blank("ledger")
    command.upgrade(database_factory.alembic_config(database), BEFORE)
    return database


def test_the_revision_widens_what_is_paid_and_leaves_checks_views_and_rights_as_they_were(
    database_factory: DatabaseFactory, database: ServiceDatabase
) -> None:
    config = database_factory.alembic_config(database)
    narrow, checks = fetch_all(database.owner_url, WIDTHS), fetch_all(database.owner_url, CHECKS)
    command.upgrade(config, REVISION)
    widths = fetch_all(database.owner_url, WIDTHS)
    assert {width for *_, width in narrow} == {"numeric(27,9)"}
    assert {width for *_, width in widths} == {"numeric(38,9)"}
    assert fetch_all(database.owner_url, CHECKS) == checks
    with psycopg.connect(database.app_url, autocommit=True) as session:
        session.execute("SELECT FROM posting CROSS JOIN line_view")
        with pytest.raises(errors.InsufficientPrivilege):
            session.execute("DELETE FROM settlement")
        with pytest.raises(errors.CheckViolation):
            session.execute(SETTLED.format(amount="0").encode())
    command.downgrade(config, BEFORE)
    assert fetch_all(database.owner_url, WIDTHS) == narrow
    assert fetch_all(database.owner_url, CHECKS) == checks


def test_the_way_back_is_refused_while_a_sum_needs_the_width(
    database_factory: DatabaseFactory, database: ServiceDatabase
) -> None:
    config = database_factory.alembic_config(database)
    command.upgrade(config, REVISION)
    with psycopg.connect(database.app_url, autocommit=True) as session:
        session.execute(SETTLED.format(amount="1000000000000000000").encode())
    with pytest.raises(Exception, match="numeric field overflow"):
        command.downgrade(config, BEFORE)
    assert fetch_all(database.owner_url, "SELECT amount FROM settlement") == [(Decimal(10**18),)]
