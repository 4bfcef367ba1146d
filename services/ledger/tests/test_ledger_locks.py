"""Balances are locked in the order of their keys, all of a transaction's at once: nobody waits in a circle."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.pricing.v1.lane_pb2 import RatedCharge
from apportion_common.faults import classify, retry_conflicts
from apportion_common.protos import pack_int
from apportion_dev.testing.databases import ServiceDatabase, fetch_all
from apportion_dev.testing.locks import DEADLOCKS, PATIENCE_S, until_it_waits
from apportion_dev.testing.plugin import MakeServiceDatabase
from apportion_ledger.app.payouts import Payouts
from apportion_ledger.domain.posting import BalanceKey
from apportion_ledger.domain.settlements import PayoutAnswer, PendingPayout
from apportion_ledger.store.balances import BalanceStore
from apportion_ledger.store.payout_instructions import PayoutInstructions
from apportion_ledger.store.settlements import SettlementStore
from ledger_harness import CONTEXT, LedgerHarness, make_harness, money, scaled
from sqlalchemy import text

RACE_S = 6
SOAK_S = int(os.environ.get("APPORTION_LEDGER_LOCKS_SOAK_S", "3600"))
LANES = 8
PARTNERS = 4
COLD_S = 0.3
"""How often there is a currency and a partner that nobody has a balance of yet, in a short race."""
COLD_MAX = 500
"""How often in a long one: a sweep locks and claims every balance, and there is a week for each."""
SINCE = "2000-01-01T00:00:00"
FIRST_MONDAY = date(2000, 1, 3)


class SomeRejected(PayoutInstructions):
    """A provider that always rejects one payout in three."""

    async def pay(self, payouts: Sequence[PendingPayout]) -> Mapping[UUID, PayoutAnswer]:
        rejected = {payout.settlement_id for payout in payouts if payout.settlement_id.int % 3 == 0}
        wanted = [payout for payout in payouts if payout.settlement_id not in rejected]
        accepted = await super().pay(wanted) if wanted else {}
        return {**accepted, **dict.fromkeys(rejected, PayoutAnswer.REJECTED)}


class Race:
    """Lanes that share partners, beside everything else that moves balances, changes terms or reads."""

    def __init__(self, lanes: LedgerHarness, others: LedgerHarness, seconds: float) -> None:
        """`lanes` and `others` are the same ledger, each with connections of its own."""
        self.lanes = lanes
        self.others = others
        self.seconds = seconds
        self.cold_s = max(COLD_S, seconds / COLD_MAX)
        self.began = time.monotonic()
        self.orgs: list[UUID] = []
        self.given_up = 0
        self.counts = dict.fromkeys(("batches", "taken apart", "sweeps", "terms", "appends", "payouts", "reads"), 0)

    async def run(self) -> None:
        """Run until the time is over; what any of them raises is raised."""
        await self.others.rate("10", since=SINCE)
        for _ in range(PARTNERS):
            await self._credited_org()
        async with asyncio.TaskGroup() as group:
            for lane in range(LANES):
                group.create_task(self._repeat("batches", lane, self._post))
            for number, (name, work) in enumerate(
                {
                    "sweeps": self._sweep,
                    "terms": self._change_terms,
                    "appends": self._append,
                    "payouts": self._settle,
                    "reads": self._read,
                }.items()
            ):
                group.create_task(self._repeat(name, LANES + number, work))

    async def _repeat(self, name: str, number: int, work: Callable[[int, random.Random], Awaitable[None]]) -> None:
        drawn = random.Random(number)
        while not self.counts[name] or time.monotonic() - self.began < self.seconds:
            try:
                await work(number, drawn)
                self.counts[name] += 1
            except Exception as error:
                # As a lane's runner does: on a busy machine a lock's time-out passes.
                if classify(error) != "infrastructure":
                    raise
                self.given_up += 1
            if number >= LANES:
                await asyncio.sleep(drawn.uniform(0, 2 * self.cold_s))

    async def _credited_org(self) -> None:
        partner, org = await self.others.partner(since=SINCE), uuid4()
        await self.others.por(partner, org=org, start=SINCE)
        self.orgs.append(org)

    def _charges(self, drawn: random.Random) -> list[RatedCharge]:
        """Charges in no order, of hot balances and of ones that nobody has opened yet."""
        epoch = int((time.monotonic() - self.began) / self.cold_s)
        cold = "".join(chr(ord("A") + epoch // 26**place % 26) for place in (2, 1, 0))
        orgs = [*self.orgs[:PARTNERS], *self.orgs[-2:]]
        return [
            self.lanes.charge(
                drawn.choice(("3", "60", "-2")),
                org=drawn.choice(orgs),
                currency=drawn.choice(("AUD", "AUD", "EUR", cold)),
                at="2000-01-04T00:00:00",
            )
            for _ in range(drawn.randrange(1, 9))
        ]

    async def _post(self, lane: int, drawn: random.Random) -> None:
        """A batch; every fifth cannot be written as a whole, and is taken apart."""
        charges = self._charges(drawn)
        number = self.lanes.positions.get(lane, 0)
        failing = None
        if (number + lane) % 5 == 0:
            bad = self.lanes.charge("1")
            bad.amount = pack_int(10**30)
            charges.insert(drawn.randrange(len(charges) + 1), bad)
            failing = ValueError("too large")
            self.counts["taken apart"] += 1
        batch = self.lanes.batch(charges, lane=lane)
        (receipt,) = await retry_conflicts(lambda: self.lanes.post(batch, failing=failing))
        assert receipt.line_count + len(receipt.conflicts) == len(charges)
        assert len(receipt.conflicts) == (failing is not None)

    async def _sweep(self, _: int, __: random.Random) -> None:
        year, week, _day = (FIRST_MONDAY + timedelta(weeks=self.counts["sweeps"])).isocalendar()
        await self.others.sweep(f"{year}-W{week:02d}")

    async def _change_terms(self, _: int, drawn: random.Random) -> None:
        await self._credited_org()
        await self.others.rate(str(drawn.randrange(1, 20)), since=SINCE)

    async def _append(self, _: int, drawn: random.Random) -> None:
        """The same charges from two callers, in two orders."""
        charges = [self._to_append(charge) for charge in self._charges(drawn)]
        await asyncio.gather(
            self.others.rpc.AppendCharges(pb.AppendChargesRequest(charges=charges), CONTEXT),
            self.others.rpc.AppendCharges(pb.AppendChargesRequest(charges=charges[::-1]), CONTEXT),
        )

    def _to_append(self, charge: RatedCharge) -> pb.ChargeToAppend:
        wanted = pb.ChargeToAppend(
            charge_id=str(UUID(bytes=charge.charge_id)),
            event_id=str(UUID(bytes=charge.event_id)),
            org_id=str(UUID(bytes=charge.org_id)),
            billing_account_id=str(UUID(bytes=charge.billing_account_id)),
            mapping_id=str(UUID(bytes=charge.mapping_id)),
            sku=charge.sku,
            sku_type=charge.sku_type,
        )
        wanted.quantity.value = "1"
        # Callers name currencies that exist; only pricing's are taken as they come.
        wanted.amount.currency_code = charge.currency if charge.currency == "EUR" else "AUD"
        wanted.amount.units = 3
        wanted.event_time.FromMicroseconds(charge.event_time_us)
        return wanted

    async def _settle(self, _: int, __: random.Random) -> None:
        payouts = Payouts(self.others.database, SettlementStore(), SomeRejected(self.others.database))
        await asyncio.gather(payouts.settle_pending(), payouts.settle_pending())

    async def _read(self, _: int, drawn: random.Random) -> None:
        await self.others.lines(org_id=str(drawn.choice(self.orgs)))


async def assert_no_circles(
    made: ServiceDatabase, seconds: float, record_property: Callable[[str, object], None]
) -> None:
    """Race on a ledger; the server has counted no deadlock meanwhile, and the books are right."""
    again = ServiceDatabase(made.service, made.name, made.owner_url, made.app_url)
    (before,) = fetch_all(made.owner_url, DEADLOCKS)
    lanes = make_harness(made)
    running = Race(lanes, make_harness(again), seconds)
    try:
        await running.run()
        assert not await lanes.breaches()
    finally:
        # A session hands in what it counted at its end, at the latest.
        await again.close()
        await made.close()
        (after,) = fetch_all(made.owner_url, DEADLOCKS)
        deadlocks = after[0] - before[0]
        record_property(
            "figures",
            f"ledger locks in {seconds} s: {deadlocks} deadlocks, {running.given_up} time-outs, {running.counts}",
        )
    assert deadlocks == 0
    assert all(running.counts.values())


async def credited_orgs(ledger: LedgerHarness, number: int) -> list[tuple[BalanceKey, UUID]]:
    """Balances in the order of their locks, each with an organisation whose charges move it."""
    await ledger.rate("10")
    orgs = {((await ledger.partner()).bytes, "AUD"): uuid4() for _ in range(number)}
    for (partner, _), org in orgs.items():
        await ledger.por(UUID(bytes=partner), org=org)
    return sorted(orgs.items())


async def test_a_batch_that_is_taken_apart_locks_the_balances_of_all_its_parts_first(ledger: LedgerHarness) -> None:
    (early, early_org), (late, late_org) = await credited_orgs(ledger, 2)
    await ledger.charged(ledger.charge("3", org=early_org), ledger.charge("3", org=late_org))
    bad = ledger.charge("1")
    bad.amount = pack_int(10**30)
    batch = ledger.batch([ledger.charge("3", org=late_org), bad, ledger.charge("3", org=early_org)], lane=5)
    async with ledger.database.transaction() as tx:
        await BalanceStore().lock(tx, [early])
        posting = asyncio.create_task(ledger.post(batch, failing=ValueError("too large")))
        await until_it_waits(ledger.made, posting)
        # Were the later one locked already, this would wait for the batch, which waits for this.
        await BalanceStore().lock(tx, [late])
        assert not posting.done()
    (receipt,) = await posting
    assert (receipt.line_count, len(receipt.conflicts)) == (2, 1)
    assert not await ledger.breaches()


async def test_a_sweep_leaves_a_balance_that_is_opened_while_it_waits_to_the_next(ledger: LedgerHarness) -> None:
    (known, known_org), (new, new_org) = await credited_orgs(ledger, 2)
    await ledger.charged(ledger.charge("3", org=known_org))
    async with ledger.database.transaction() as paying:
        async with ledger.database.transaction() as tx:
            await BalanceStore().lock(tx, [known])
            sweeping = asyncio.create_task(ledger.sweep("2013-W01"))
            await until_it_waits(ledger.made, sweeping)
            await ledger.charged(ledger.charge("3", org=new_org))
            await BalanceStore().lock(paying, [new])
        # It pays nothing of a balance that it has not locked, so it does not wait for who pays from it.
        async with asyncio.timeout(PATIENCE_S):
            swept = await sweeping
    assert list(swept) == [(UUID(bytes=known[0]), "AUD")]
    assert money((await ledger.sweep("2013-W02"))[UUID(bytes=new[0]), "AUD"].paid) == scaled("0.3")
    assert not await ledger.breaches()


async def test_payouts_are_marked_as_paid_in_the_order_of_their_ids(ledger: LedgerHarness) -> None:
    await ledger.credited("10")
    await ledger.charged(*(ledger.charge("60") for _ in range(12)))
    found = [row[0] for row in ledger.as_owner("SELECT settlement_id FROM settlement ORDER BY ctid")]
    late, early = next(pair for pair in itertools.pairwise(found) if pair[0] > pair[1])
    # Without indexes the rows come as they lie in the table.
    for setting in ("enable_indexscan", "enable_bitmapscan"):
        ledger.as_owner(f"ALTER DATABASE {ledger.made.name} SET {setting} = off")
    await ledger.made.close()
    store, lock = SettlementStore(), "SELECT FROM settlement WHERE settlement_id = :id FOR NO KEY UPDATE"

    async def mark() -> list[UUID]:
        async with ledger.database.transaction() as tx:
            return await store.mark_paid(tx, [late, early])

    ledger = make_harness(ledger.made)
    async with ledger.database.transaction() as tx:
        await tx.execute(lock, {"id": early})
        marking = asyncio.create_task(mark())
        await until_it_waits(ledger.made, marking)
        await tx.execute(lock, {"id": late})
        assert not marking.done()
    assert sorted(await marking) == [early, late]


async def test_keys_of_charges_are_written_in_their_order_whatever_that_of_the_charges(ledger: LedgerHarness) -> None:
    early, late = sorted((ledger.charge("3") for _ in range(2)), key=lambda charge: charge.charge_id)
    write = text("INSERT INTO ledger_charge_key VALUES (:id, decode(repeat('00', 32), 'hex'), :id)")
    async with ledger.database.engine.connect() as connection:
        await connection.execute(write, {"id": UUID(bytes=early.charge_id)})
        posting = asyncio.create_task(ledger.charged(late, early))
        await until_it_waits(ledger.made, posting)
        await connection.execute(write, {"id": UUID(bytes=late.charge_id)})
        assert not posting.done()
        await connection.rollback()
    assert (await posting).line_count == 2
    assert not await ledger.breaches()


async def test_lanes_sweeps_and_quarantines_that_share_partners_never_wait_in_a_circle(
    service_database: MakeServiceDatabase, record_property: Callable[[str, object], None]
) -> None:
    await assert_no_circles(service_database("ledger"), RACE_S, record_property)


@pytest.mark.soak
@pytest.mark.timeout(SOAK_S + 600)
async def test_an_hour_of_eight_lanes_on_four_partners_has_no_deadlock(
    service_database: MakeServiceDatabase, record_property: Callable[[str, object], None]
) -> None:
    await assert_no_circles(service_database("ledger"), SOAK_S, record_property)
