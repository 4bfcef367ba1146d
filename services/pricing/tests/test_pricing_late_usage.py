"""Usage of a closed period is billed in an open one that is named; periods open again (spec 08 choices 18 and 19)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion.pricing.v1.lane_pb2 import RatedBatch
from apportion_common.protos import unpack_int
from pricing_harness import DAY, FEBRUARY, JANUARY, UNIT, Close, Event, PricingHarness, graduated, id_of, per_unit


@pytest.fixture
async def shop(harness: PricingHarness) -> PricingHarness:
    """An organisation that is charged for distance, ever dearer, and live."""
    await harness.sku("OBJ-KM")
    await harness.plan("FLEET", graduated("OBJ-KM", "1", ("10", "3")))
    harness.orgs.map("AA", "account")
    await harness.assign("AA", "FLEET")
    await harness.live()
    return harness


def km(quantity: int, at_us: int = JANUARY, into_period: str = "") -> Event:
    return Event("AA", "OBJ-KM", quantity * UNIT, at_us, into_period=into_period)


def said(batch: RatedBatch) -> list[tuple[str, str, int]]:
    """Period, billed period and amount in units of each charge."""
    return [
        (charge.period, charge.billed_period, unpack_int(charge.amount) // UNIT)
        for charge in sorted(batch.charges, key=lambda charge: charge.entry_seq)
    ]


def reasons(batch: RatedBatch) -> list[tuple[str, str]]:
    return [(rejection.reason, rejection.detail) for rejection in batch.rejections]


async def test_late_usage_is_priced_where_it_was_used_and_billed_in_the_open_period_that_is_named(
    shop: PricingHarness,
) -> None:
    await shop.rate(km(8), Close("2013-01", "AA"))
    for _ in range(2):
        batch = await shop.rate(km(1, into_period="2013-02"), km(3, JANUARY + DAY, "2013-03"), km(1))
        assert reasons(batch) == [("PERIOD_CLOSED", "The period 2013-01 is closed.")]
        seen = said(batch)
        shop.restart()
        if seen[0][2] == 1:
            # The period's own position goes on: units 9 at 1, then 10 at 1 and 11 and 12 at 3.
            assert seen == [("2013-01", "2013-02", 1), ("2013-01", "2013-03", 7)]
        else:
            assert seen == [("2013-01", "2013-02", 3), ("2013-01", "2013-03", 9)]
    listed = (await shop.rpc.ListCharges(pb.ListChargesRequest(), None)).charges
    assert [charge.billed_period for charge in listed] == ["", "2013-02", "2013-03", "2013-02", "2013-03"]


async def test_a_period_that_is_named_bills_only_what_its_own_period_cannot(shop: PricingHarness) -> None:
    batch = await shop.rate(km(1, into_period="2013-02"), km(1, FEBRUARY, "2013-02"), km(1, FEBRUARY, "2013-01"))
    assert said(batch) == [("2013-01", "", 1), ("2013-02", "", 1), ("2013-02", "", 1)]


async def test_late_usage_into_a_closed_period_is_refused_with_both_named(shop: PricingHarness) -> None:
    late = km(1, into_period="2013-02")
    batch = await shop.rate(
        Close("2013-01", "AA"),
        late,
        Close("2013-02"),
        replace(late),
        km(1, JANUARY, "2012-12"),
        km(1, JANUARY, "2013-01"),
    )
    assert said(batch) == [("2013-01", "2013-02", 1)]
    both = "The period 2013-01 is closed, and so is 2013-02, which was to bill the event."
    alone = "The period 2013-01 is closed."
    assert reasons(batch) == [("PERIOD_CLOSED", both), ("PERIOD_CLOSED", alone), ("PERIOD_CLOSED", alone)]


async def test_a_period_that_opens_again_takes_and_bills_its_usage_until_it_closes_again(shop: PricingHarness) -> None:
    closed, opened = Close("2013-01", "AA"), Close("2013-01", "AA", reopening=2)
    batch = await shop.rate(Close("2013-01"), km(1), opened, km(1), closed, km(1))
    assert (len(batch.charges), len(batch.rejections)) == (1, 2)
    assert [close.reopening for close in batch.period_closes] == [0, 2, 0]
    shop.restart()
    # One that comes after a later one, or again, does nothing.
    for stale in (opened, Close("2013-01", "AA", reopening=1), Close("2013-01", "", reopening=9)):
        assert len((await shop.rate(stale, km(1))).rejections) == 1
    shop.restart()
    batch = await shop.rate(Close("2013-01", "AA", reopening=3), km(1, into_period="2013-02"), Close("2013-01"), km(1))
    assert said(batch) == [("2013-01", "", 1)]
    assert len(batch.rejections) == 1
    changes = await shop.rows("SELECT org_id IS NULL, reopening FROM period_close ORDER BY seq")
    assert changes == [(True, 0), (False, 2), (False, 0), (False, 3), (True, 0)]


async def test_the_terms_of_the_event_time_price_late_usage(shop: PricingHarness) -> None:
    await shop.sku("ACT-SMS")
    await shop.set_row("FLEET", per_unit("ACT-SMS", "1"), JANUARY)
    await shop.set_row("FLEET", per_unit("ACT-SMS", "5"), FEBRUARY)
    await shop.rate(Close("2013-01", "AA"))
    late = Event("AA", "ACT-SMS", UNIT, JANUARY + DAY, into_period="2013-02")
    batch = await shop.rate(late, Event("AA", "ACT-SMS", UNIT, FEBRUARY))
    assert said(batch) == [("2013-01", "2013-02", 1), ("2013-02", "", 5)]
    assert await shop.rows("SELECT period, quantity FROM usage_position ORDER BY period") == [
        ("2013-01", 1),
        ("2013-02", 1),
    ]
    assert {charge.org_id for charge in batch.charges} == {id_of("AA")}
