"""What is taken back never exceeds what was charged, whatever prices held in between (spec 08 choice 15)."""

from __future__ import annotations

import random
from collections import defaultdict
from fractions import Fraction
from typing import Final

import pytest
from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion.pricing.v1.lane_pb2 import RatedBatch
from apportion_common.decimals import AMOUNT_MAX
from apportion_common.protos import unpack_int
from apportion_pricing.domain.corrections import CORRECTION_EXCEEDS_CHARGED, corrected_amount
from apportion_pricing.domain.rejections import AMOUNT_OUT_OF_RANGE
from hypothesis import given, settings
from hypothesis import strategies as st
from pricing_harness import DAY, JANUARY, UNIT, Event, PricingHarness, per_unit

MIDDLE: Final = JANUARY + 14 * DAY
PRICES: Final = ("1", "2")


@pytest.fixture
async def shop(harness: PricingHarness) -> PricingHarness:
    """An organisation that is live, with distance at 1, and at 2 from the middle of January on."""
    await harness.sku("OBJ-KM")
    await harness.plan("FLEET", per_unit("OBJ-KM", PRICES[0]))
    harness.orgs.map("AA", "account")
    await harness.assign("AA", "FLEET")
    await harness.set_row("FLEET", per_unit("OBJ-KM", PRICES[1]), MIDDLE)
    await harness.live()
    return harness


def km(quantity: int, at_us: int = JANUARY) -> Event:
    return Event("AA", "OBJ-KM", quantity * UNIT, at_us)


def amounts(batch: RatedBatch) -> list[int]:
    return [unpack_int(charge.amount) // UNIT for charge in sorted(batch.charges, key=lambda charge: charge.entry_seq)]


async def test_no_usage_leaves_no_money_on_either_side_after_a_price_change(shop: PricingHarness) -> None:
    assert amounts(await shop.rate(km(100), km(-100, MIDDLE))) == [100, -100]
    shop.restart()
    assert amounts(await shop.rate(km(100, MIDDLE), km(-40), km(-60))) == [200, -40, -160]
    assert await shop.rows("SELECT quantity, charged, shadow_charged FROM usage_position") == [(0, 0, 0)]


async def test_a_correction_that_leaves_usage_and_takes_back_more_than_was_charged_is_refused(
    shop: PricingHarness,
) -> None:
    batch = await shop.rate(km(100), km(-60, MIDDLE), km(-60), km(-50, MIDDLE), km(-40, MIDDLE))
    assert amounts(batch) == [100, -60, -40]
    assert [rejection.reason for rejection in batch.rejections] == [
        "CORRECTION_EXCEEDS_CHARGED",
        "CORRECTION_BELOW_ZERO",
    ]


async def test_a_position_from_before_sums_were_kept_is_summed_when_it_is_corrected(shop: PricingHarness) -> None:
    await shop.rate(km(100), km(10, MIDDLE))
    async with shop.database.transaction() as tx:
        await tx.execute("UPDATE usage_position SET charged = NULL, shadow_charged = NULL")
    shop.restart()
    # More usage leaves them unknown; the first correction needs them, also one later in the same batch.
    assert amounts(await shop.rate(km(1))) == [1]
    assert await shop.rows("SELECT charged FROM usage_position") == [(None,)]
    assert amounts(await shop.rate(km(1), km(-112, MIDDLE))) == [1, -122]
    assert await shop.rows("SELECT charged, shadow_charged FROM usage_position") == [(0, 0)]


async def test_usage_of_another_mode_is_never_taken_back_from_the_ledger(shop: PricingHarness) -> None:
    await shop.mode(pb.ENGINE_MODE_SHADOW)
    assert amounts(await shop.rate(km(100))) == []
    await shop.live()
    batch = await shop.rate(km(10), km(-20), km(-110))
    assert amounts(batch) == [10, -10]
    assert [rejection.reason for rejection in batch.rejections] == ["CORRECTION_EXCEEDS_CHARGED"]
    assert await shop.rows("SELECT quantity, charged, shadow_charged FROM usage_position") == [(0, 0, 100)]


async def test_a_batch_that_fails_leaves_the_sums_as_they_were(shop: PricingHarness) -> None:
    await shop.rate(km(100))
    await shop.occupy(shop.lane([km(1)]), 2)
    with pytest.raises(Exception, match="pk_charge"):
        await shop.rate(km(50, MIDDLE))
    shop.positions.clear()
    assert await shop.rows("SELECT charged FROM usage_position") == [(100,)]


@given(st.lists(st.tuples(st.integers(-12, 12), st.integers(0, 9), st.booleans()), max_size=14))
@settings(deadline=None)
def test_no_sequence_of_events_leaves_money_without_usage_by_the_rule(events: list[tuple[int, int, bool]]) -> None:
    """Each event has a quantity and a price, or corrects everything away."""
    used = charged = 0
    for quantity, price, away in events:
        more = -used if away else quantity
        after, amount = used + more, price * more
        if after < 0:
            continue
        outcome = corrected_amount(charged, after, amount) if more < 0 else amount
        # The plain model: all or nothing of what was charged, and in between what the price says.
        if more < 0 and after and charged + amount < 0:
            assert outcome is CORRECTION_EXCEEDS_CHARGED
            continue
        assert outcome == (-charged if more < 0 and not after else amount)
        used, charged = after, charged + int(outcome)
        assert charged >= 0
        assert used or not charged


def test_more_than_a_line_can_hold_is_not_taken_back_at_once() -> None:
    assert corrected_amount(AMOUNT_MAX, 0, -1) == -AMOUNT_MAX
    assert corrected_amount(AMOUNT_MAX + 1, 0, -1) is AMOUNT_OUT_OF_RANGE


@pytest.mark.parametrize("seed", range(4))
async def test_no_sequence_of_events_leaves_money_without_usage_across_prices_and_accounts(
    shop: PricingHarness, seed: int
) -> None:
    rng = random.Random(seed)
    for number in range(8):
        org = f"org {number}"
        shop.orgs.map(org, f"one of {org}")
        shop.orgs.map(org, f"other of {org}", MIDDLE + rng.randrange(-9, 9) * DAY)
        await shop.assign(org, "FLEET")
        events = [
            Event(org, "OBJ-KM", rng.randrange(-9, 10) * UNIT, JANUARY + rng.randrange(31) * DAY)
            for _ in range(rng.randrange(1, 20))
        ]
        used = 0
        for start in range(0, len(events), 5):
            batch = await shop.rate(*events[start : start + 5])
            rejected = {rejection.event_id for rejection in batch.rejections}
            used += sum(unpack_int(charge.quantity) for charge in batch.charges)
            assert len(batch.charges) + len(rejected) == len(events[start : start + 5])
        if used:
            await shop.rate(Event(org, "OBJ-KM", -used, JANUARY + rng.randrange(31) * DAY))
    # The plain model: by running sums over what was charged, money is never below zero, and zero without usage.
    running: defaultdict[object, Fraction] = defaultdict(Fraction)
    usage: defaultdict[object, Fraction] = defaultdict(Fraction)
    for org_id, quantity, amount in await shop.rows("SELECT org_id, quantity, amount FROM charge ORDER BY lane, seq"):
        running[org_id] += Fraction(amount)
        usage[org_id] += Fraction(quantity)
        assert running[org_id] >= 0
        assert usage[org_id] or not running[org_id]
    assert running
    assert not any(running.values())
    assert await shop.rows("SELECT DISTINCT quantity, charged FROM usage_position") == [(0, 0)]
