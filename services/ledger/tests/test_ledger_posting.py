"""The poster: charges become lines with their split, once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from uuid import UUID, uuid4

import psycopg
import pytest
from apportion.common.v1 import lane_pb2 as common_lane_pb2
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.pricing.v1.lane_pb2 import RatedCharge
from apportion_common.db.unit_of_work import Transaction
from apportion_common.errors import Unavailable
from apportion_common.ids import entry_id
from apportion_common.lanes.records import UNREADABLE_BATCH_SEQ
from apportion_common.protos import pack_int
from apportion_ledger.app.charges import Charges
from apportion_ledger.app.period_closes import PeriodCloses
from apportion_ledger.app.terms import TermsCache
from apportion_ledger.consumers.poster import Poster
from apportion_ledger.domain.posting import CURRENCY_MALFORMED, BalanceKey
from apportion_ledger.limits import APPEND_ATTEMPTS_MAX
from apportion_ledger.store.balances import BalanceStore
from apportion_ledger.store.lines import LineStore
from apportion_ledger.store.period_closes import PeriodCloseStore
from apportion_ledger.store.terms import TermsStore
from ledger_harness import CONTEXT, UNIT, LedgerHarness, money, scaled, timestamp
from sqlalchemy import exc

PATIENCE_S = 60
"""For what is sure to come; only a failure takes that long."""
POLL_S = 0.01
BACKENDS_THAT_WAIT = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""

GOLD_SMS = {"kind": pb.MATCH_KIND_SKU, "value": "ACT-SMS"}


async def test_a_charge_becomes_a_line_that_says_all_it_was_decided_under(ledger: LedgerHarness) -> None:
    partner = await ledger.credited("12.5")
    project = uuid4()
    charge = ledger.charge("0.123456789", quantity="3.5", project=project)
    receipt = await ledger.charged(charge)
    line = await ledger.line_of(charge)
    assert line.entry_id == str(UUID(bytes=entry_id(charge.charge_id)))
    assert (line.org_id, line.project_id, line.billing_account_id) == (
        str(ledger.org), str(project), str(ledger.account),
    )  # fmt: skip
    assert (line.kind, line.sku, line.quantity.value, line.partner_pct.value) == (
        pb.LINE_KIND_USAGE, "ACT-SMS", "3.5", "12.5",
    )  # fmt: skip
    assert line.partner_id == str(partner)
    # 0.123456789 x 12.5 % = 0.015432098625, rounded half away from zero at 9 places.
    assert (money(line.amount_gross), money(line.partner_amount), money(line.net)) == (
        123_456_789, 15_432_099, 108_024_690,
    )  # fmt: skip
    assert line.event_time == timestamp("2013-01-02T03:04:05")
    assert (line.lane, line.batch_seq, line.entry_seq) == (3, 1, charge.entry_seq)
    assert (receipt.line_count, receipt.ledger_revision) == (1, 3)
    (row,) = ledger.as_owner(
        "SELECT mapping_id, sku_type, catalog_revision, orgs_revision, ledger_revision, period, partner_from_account,"
        " content_hash FROM ledger_line"
    )
    assert row[:-1] == (ledger.mapping, "action", 7, 8, 3, "2013-01", False)
    assert receipt.lines_digest == sha256(row[-1]).digest()
    assert not await ledger.breaches()


async def test_without_a_partner_the_whole_gross_is_net(ledger: LedgerHarness) -> None:
    charge = ledger.charge("7.5")
    await ledger.charged(charge)
    line = await ledger.line_of(charge)
    assert (line.partner_id, line.partner_pct.value, money(line.partner_amount), money(line.net)) == (
        "", "0", 0, scaled("7.5"),
    )  # fmt: skip


async def test_a_negative_charge_mirrors_a_positive_one(ledger: LedgerHarness) -> None:
    partner = await ledger.credited("33.3333")
    there, back = ledger.charge("0.000000005"), ledger.charge("-0.000000005")
    await ledger.charged(there, back)
    assert money((await ledger.line_of(there)).partner_amount) == -money((await ledger.line_of(back)).partner_amount)
    assert money((await ledger.statement(partner))["AUD"].closing) == 0


async def test_the_same_charge_again_is_a_no_op(ledger: LedgerHarness) -> None:
    await ledger.credited()
    charges = [ledger.charge("60"), ledger.charge("3")]
    await ledger.charged(*charges)
    before = ledger.as_owner("SELECT * FROM ledger_line ORDER BY entry_id")
    receipt = await ledger.charged(*charges, charges[0])
    assert (receipt.line_count, len(receipt.conflicts)) == (0, 0)
    assert ledger.as_owner("SELECT * FROM ledger_line ORDER BY entry_id") == before
    assert ledger.as_owner("SELECT count(*) FROM settlement") == [(1,)]
    assert not await ledger.breaches()


async def test_the_same_charge_again_is_a_no_op_under_later_terms_too(ledger: LedgerHarness) -> None:
    await ledger.credited("10")
    charge = ledger.charge("60")
    await ledger.charged(charge)
    await ledger.rate("20")
    receipt = await ledger.charged(charge)
    assert (receipt.line_count, len(receipt.conflicts)) == (0, 0)
    assert (await ledger.line_of(charge)).partner_pct.value == "10"


async def test_a_charge_twice_in_one_batch_is_written_once(ledger: LedgerHarness) -> None:
    await ledger.credited()
    charge = ledger.charge("60")
    receipts = await ledger.post(ledger.batch([charge, charge]), ledger.batch([charge]))
    assert [receipt.line_count for receipt in receipts] == [1, 0]
    assert not await ledger.breaches()


async def test_other_content_under_a_charge_id_is_a_conflict_that_names_the_difference(ledger: LedgerHarness) -> None:
    first = ledger.charge("3", request="r", quantity="2")
    await ledger.charged(first)
    again = ledger.charge("4", request="r", quantity="2")
    good = ledger.charge("5")
    receipt = await ledger.charged(again, good)
    (conflict,) = receipt.conflicts
    assert (conflict.charge_id, conflict.entry_seq) == (first.charge_id, again.entry_seq)
    assert conflict.detail == f"gross: {3 * UNIT} stands, {4 * UNIT} came"
    assert receipt.line_count == 1
    assert money((await ledger.line_of(first)).amount_gross) == 3 * UNIT
    assert not await ledger.breaches()


async def test_a_conflict_inside_one_batch_leaves_the_first(ledger: LedgerHarness) -> None:
    first, again = ledger.charge("3", request="r"), ledger.charge("3", request="r", quantity="9")
    receipt = await ledger.charged(first, again)
    assert receipt.line_count == 1
    assert [conflict.detail for conflict in receipt.conflicts] == [f"quantity: {UNIT} stands, {9 * UNIT} came"]


async def test_receipts_carry_periods_closed_and_traces_on(ledger: LedgerHarness) -> None:
    close = common_lane_pb2.PeriodClose(period="2012-12")
    single = common_lane_pb2.PeriodClose(period="2012-12", org_id=ledger.org.bytes)
    trace = common_lane_pb2.TraceRange(traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01", first=0, count=1)
    batch = ledger.batch([ledger.charge("1")], closes=[close, single], traces=[trace])
    (receipt,) = await ledger.post(batch)
    await ledger.post(ledger.batch([], closes=[close]))
    assert list(receipt.period_closes) == [close, single]
    (onward,) = receipt.traces
    assert (onward.first, onward.count) == (0, 1)
    rows = ledger.as_owner("SELECT lane, org_id, pos, ordinal FROM period_close ORDER BY pos, ordinal")
    assert rows == [(3, None, 1, 0), (3, ledger.org, 1, 1), (3, None, 2, 0)]


async def test_an_empty_batch_has_a_receipt(ledger: LedgerHarness) -> None:
    (receipt,) = await ledger.post(ledger.batch([]))
    assert (receipt.batch_seq, receipt.line_count, receipt.lines_digest) == (1, 0, sha256().digest())


def test_an_unreadable_message_has_a_number_beyond_every_other_so_that_its_lane_stops(ledger: LedgerHarness) -> None:
    value, weight = ledger.parts.poster.decode(b"\xff\xff\xff")
    assert (ledger.parts.poster.batch_seq_of(value), weight) == (UNREADABLE_BATCH_SEQ, 1)


async def test_a_charge_in_no_currency_is_a_conflict_beside_the_lines_of_the_others(ledger: LedgerHarness) -> None:
    await ledger.credited()
    bad = ledger.charge("1", currency="au")
    receipt = await ledger.charged(ledger.charge("60"), bad, ledger.charge("60"))
    assert (receipt.line_count, [conflict.event_id for conflict in receipt.conflicts]) == (2, [bad.event_id])
    assert receipt.conflicts[0].detail == CURRENCY_MALFORMED
    assert not await ledger.breaches()


@pytest.mark.parametrize(
    "broken",
    [
        {"amount": pack_int(10**30)},
        {"sku": "A\0B"},
        {"billing_account_id": b"short"},
    ],
)
async def test_charges_that_cannot_be_written_are_quarantined_alone(
    ledger: LedgerHarness, broken: dict[str, object]
) -> None:
    await ledger.credited()
    good = [ledger.charge("60") for _ in range(6)]
    bad = ledger.charge("1")
    for name, value in broken.items():
        setattr(bad, name, value)
    batch = ledger.batch([*good[:4], bad, *good[4:]])
    with pytest.raises((psycopg.Error, exc.DBAPIError)):
        await ledger.post(batch)
    (receipt,) = await ledger.post(batch, failing=ValueError("too large"))
    (conflict,) = receipt.conflicts
    assert conflict.event_id == bad.event_id
    assert conflict.detail.startswith("PROCESSING_FAILED: ")
    assert receipt.line_count == len(good)
    hashes = {row[0]: row[1] for row in ledger.as_owner("SELECT charge_id, content_hash FROM ledger_line")}
    expected = sha256(b"".join(hashes[UUID(bytes=charge.charge_id)] for charge in good)).digest()
    assert receipt.lines_digest == expected
    assert not await ledger.breaches()


async def test_the_highest_amounts_are_exact(ledger: LedgerHarness) -> None:
    await ledger.credited("99.9999")
    top = "999999999999999999.999999999"
    charge = ledger.charge(top, quantity=top)
    await ledger.charged(charge)
    line = await ledger.line_of(charge)
    assert (money(line.amount_gross), line.quantity.value) == (scaled(top), top)
    assert money(line.partner_amount) + money(line.net) == scaled(top)
    assert not await ledger.breaches()


async def test_lines_and_balances_do_not_depend_on_batches(ledger: LedgerHarness) -> None:
    partner = await ledger.credited("7")
    shuffled = random.Random(5)
    charges = [
        ledger.charge(f"{shuffled.randrange(900)}.25", at=f"2013-01-{1 + n % 28:02d}T10:00:00") for n in range(60)
    ]
    for start in range(0, 60, 7):
        await ledger.charged(*charges[start : start + 7], lane=start % 3)
    (row,) = ledger.as_owner("SELECT sum(partner_amount), count(*) FROM ledger_line")
    statement = (await ledger.statement(partner))["AUD"]
    assert (money(statement.earned), statement.line_count) == (int(row[0] * UNIT), 60)
    assert not await ledger.breaches()


async def test_charges_from_outside_the_lanes_are_appended_once(ledger: LedgerHarness) -> None:
    await ledger.credited()

    def request(amount: int) -> pb.AppendChargesRequest:
        charge = pb.ChargeToAppend(
            charge_id=str(UUID(int=1)),
            event_id=str(UUID(int=2)),
            org_id=str(ledger.org),
            billing_account_id=str(ledger.account),
            mapping_id=str(ledger.mapping),
            sku="ACT-SMS",
            sku_type="action",
        )
        charge.quantity.value = "2"
        charge.amount.currency_code, charge.amount.units = "AUD", amount
        charge.event_time.CopyFrom(timestamp("2013-01-31T23:59:59"))
        return pb.AppendChargesRequest(charges=[charge])

    first = await ledger.rpc.AppendCharges(request(60), CONTEXT)
    again = await ledger.rpc.AppendCharges(request(60), CONTEXT)
    other = await ledger.rpc.AppendCharges(request(61), CONTEXT)
    assert (first.appended_count, again.known_count) == (1, 1)
    assert list(other.conflicting_charge_ids) == [str(UUID(int=1))]
    (line,) = await ledger.lines(event_id=str(UUID(int=2)))
    assert (money(line.real_time_paid), line.lane, line.batch_seq) == (6 * UNIT, 0, 0)
    assert ledger.as_owner("SELECT period, lane FROM ledger_line") == [("2013-01", None)]
    assert not await ledger.breaches()


async def test_the_same_charges_written_at_once_from_several_places_are_written_once(ledger: LedgerHarness) -> None:
    await ledger.credited()
    charges = [ledger.charge("60") for _ in range(50)]
    receipts = await asyncio.gather(*(ledger.charged(*charges, lane=lane) for lane in range(6)))
    assert sorted(receipt.line_count for receipt in receipts) == [0, 0, 0, 0, 0, 50]
    assert not any(receipt.conflicts for receipt in receipts)
    assert ledger.as_owner("SELECT count(*) FROM settlement") == [(50,)]
    assert not await ledger.breaches()


class Overtaken(LineStore):
    """After every probe somebody else posts one more of the charges."""

    def __init__(self, ledger: LedgerHarness, charges: Sequence[RatedCharge]) -> None:
        self.ledger = ledger
        self.charges = list(charges)

    async def known(self, tx: Transaction, charge_ids: Sequence[bytes]) -> dict[bytes, bytes]:
        found = await super().known(tx, charge_ids)
        await self.ledger.charged(self.charges.pop(0), lane=9)
        return found


async def test_charges_that_are_written_elsewhere_at_every_attempt_are_to_be_sent_again(ledger: LedgerHarness) -> None:
    await ledger.credited()
    charges = [ledger.charge("60") for _ in range(APPEND_ATTEMPTS_MAX + 1)]
    terms, lines = TermsCache(TermsStore()), Overtaken(ledger, charges)
    appended = Charges(ledger.database, terms, lines, BalanceStore(), {})
    poster = Poster(terms, appended, PeriodCloses(PeriodCloseStore()))
    overtaken = replace(ledger, parts=ledger.parts._replace(poster=poster))
    batch = ledger.batch(charges)
    with pytest.raises(Unavailable) as rejected:
        await overtaken.post(batch)
    assert (rejected.value.reason, rejected.value.retry_after_s) == ("CHARGES_CONTENDED", 1)
    assert lines.charges == charges[APPEND_ATTEMPTS_MAX:]
    assert ledger.as_owner("SELECT count(*) FROM ledger_line") == [(APPEND_ATTEMPTS_MAX,)]
    (receipt,) = await ledger.post(batch)
    assert (receipt.line_count, len(receipt.conflicts)) == (1, 0)
    assert not await ledger.breaches()


async def test_lanes_that_share_partners_book_every_line(ledger: LedgerHarness) -> None:
    orgs = [uuid4() for _ in range(4)]
    await ledger.rate("10")
    partners = [await ledger.partner() for _ in range(4)]
    for org, partner in zip(orgs, partners, strict=True):
        await ledger.por(partner, org=org)
    drawn = random.Random(2)

    async def lane_of(number: int) -> None:
        for _ in range(5):
            await ledger.charged(*(ledger.charge("60", org=drawn.choice(orgs)) for _ in range(8)), lane=number)

    await asyncio.gather(*(lane_of(number) for number in range(8)))
    for partner in partners:
        statement = (await ledger.statement(partner))["AUD"]
        assert money(statement.paid_real_time) == money(statement.earned) == statement.line_count * scaled("6")
    assert not await ledger.breaches()


async def test_who_waits_for_a_balance_to_be_opened_holds_no_other_balance_meanwhile(ledger: LedgerHarness) -> None:
    early, late = sorted([((await ledger.partner()).bytes, "AUD") for _ in range(2)])
    balances = BalanceStore()

    async def both() -> dict[BalanceKey, int]:
        async with ledger.database.transaction() as tx:
            return await balances.lock(tx, [early, late])

    async with ledger.database.transaction() as tx:
        await balances.lock(tx, [late])
    async with ledger.database.transaction() as tx:
        await balances.lock(tx, [early])
        waiting = asyncio.create_task(both())
        async with asyncio.timeout(PATIENCE_S):
            while ledger.as_app(BACKENDS_THAT_WAIT) != [(1,)]:
                assert not waiting.done()
                await asyncio.sleep(POLL_S)
        await balances.lock(tx, [late])
        assert not waiting.done()
    assert await waiting == {early: 0, late: 0}
