"""The rater on a real database: what it charges, rejects, remembers and publishes."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import pytest
from apportion.common.v1.lane_pb2 import TraceRange
from apportion.pricing.v1 import pricing_service_pb2 as pb
from apportion.pricing.v1.lane_pb2 import RatedBatch
from apportion_client.lane_messages import expand_rated
from apportion_common.errors import Unavailable
from apportion_common.ids import charge_id, event_id, lane_of
from apportion_common.protos import unpack_int
from apportion_pricing.app import segment_resolver
from apportion_pricing.domain.charge_models import MODELS
from apportion_pricing.domain.charge_models.per_unit import PerUnit
from apportion_pricing.domain.terms import SkuTerms
from apportion_pricing.domain.tiers import parse_tiers
from pricing_harness import (
    DAY,
    DECEMBER,
    FEBRUARY,
    JANUARY,
    UNIT,
    Close,
    Event,
    PricingHarness,
    graduated,
    id_of,
    override,
    per_unit,
)

from tests.oracles.pricing_closed_form import closed_form

TIERS = (("10", "0.3333333333"), ("25.5", "0.0000000001"))


@pytest.fixture
async def shop(harness: PricingHarness) -> PricingHarness:
    """Two organisations on one account and plan, live."""
    await harness.sku("OBJ-KM")
    await harness.sku("VAL-BAG", pb.SKU_TYPE_VALIDATION)
    await harness.sku("ACT-LOUNGE", pb.SKU_TYPE_ACTION)
    harness.orgs.map("AA", "group")
    harness.orgs.map("BB", "group")
    harness.orgs.add("ZZ")
    await harness.plan("plan", per_unit("OBJ-KM", "0.0193", "3"), graduated("VAL-BAG", "1.5", *TIERS, included="2.25"))
    await harness.assign("AA", "plan")
    await harness.assign("BB", "plan")
    await harness.live()
    return harness


def km(org: str, units: int, at_us: int = JANUARY) -> Event:
    return Event(org, "OBJ-KM", units * UNIT, at_us)


def amounts(batch: RatedBatch) -> list[int]:
    return [unpack_int(charge.amount) for charge in batch.charges]


def reasons(batch: RatedBatch) -> list[tuple[int, str]]:
    return [(rejection.entry_seq, rejection.reason) for rejection in batch.rejections]


async def test_a_charge_carries_what_the_ledger_needs_of_it(shop: PricingHarness) -> None:
    event = Event("AA", "OBJ-KM", 5 * UNIT, JANUARY + 1, "first", "project")
    batch = await shop.rate(event)
    (charge,) = batch.charges
    source = event_id(id_of("AA"), "first")
    assert (charge.event_id, charge.charge_id) == (source, charge_id(source, "usage"))
    assert (charge.org_id, charge.project_id) == (id_of("AA"), id_of("project"))
    assert (charge.billing_account_id, charge.mapping_id) == (id_of("group"), id_of(f"mapping AA {DECEMBER}"))
    assert (charge.sku, charge.sku_type, charge.currency, charge.period) == ("OBJ-KM", "object", "AUD", "2013-01")
    assert (unpack_int(charge.quantity), unpack_int(charge.amount)) == (5 * UNIT, 38_600_000)
    assert (charge.event_time_us, charge.entry_seq) == (JANUARY + 1, 1)
    assert (batch.lane, batch.batch_seq, batch.entry_count) == (lane_of(id_of("AA")), 1, 1)
    assert batch.orgs_revision == shop.orgs.revision
    assert batch.catalog_revision == (await shop.rows("SELECT revision FROM config_head"))[0][0]


async def test_a_stored_charge_says_what_it_was_decided_under(shop: PricingHarness) -> None:
    await shop.entitle("plan", override("OBJ-KM", price="0.5"), org="AA")
    await shop.rate(km("AA", 4), km("AA", -1))
    rows = await shop.rows(
        "SELECT quantity, quantity_before, amount, mode, kind, sku_type, included_revision < price_revision AS newer,"
        " price_revision = catalog_revision - 0 AS newest, orgs_revision, lane, pos, seq, project_id, plan_id"
        " FROM charge ORDER BY seq"
    )
    assert [(int(row[0] * UNIT), int(row[1] * UNIT), int(row[2] * UNIT)) for row in rows] == [
        (4 * UNIT, 0, UNIT // 2),
        (-UNIT, 4 * UNIT, -UNIT // 2),
    ]
    lane = lane_of(id_of("AA"))
    assert [row[3:] for row in rows] == [
        ("live", "usage", "object", True, True, shop.orgs.revision, lane, 1, entry_seq, None, UUID(bytes=id_of("plan")))
        for entry_seq in (1, 2)
    ]


@pytest.mark.parametrize("seed", range(4))
async def test_the_outcome_is_that_of_the_pure_rules_whatever_the_batching(shop: PricingHarness, seed: int) -> None:
    """An independent model: one running quantity per organisation, SKU and period, and the closed form."""
    random_ = random.Random(seed)
    quantities = [0, 1, UNIT // 3, UNIT, 2 * UNIT + 250_000_000, 10 * UNIT, -UNIT, -3 * UNIT]
    events = [
        Event(
            "AA",
            random_.choice(["OBJ-KM", "VAL-BAG", "VAL-BAG", "ACT-LOUNGE"]),
            random_.choice(quantities),
            random_.choice([JANUARY, JANUARY + 9 * DAY, FEBRUARY - 1, FEBRUARY]),
        )
        for _ in range(120)
    ]
    expected: list[tuple[str, int] | str] = []
    used: dict[tuple[str, bool], int] = {}
    terms = {"OBJ-KM": SkuTerms("per_unit", 3 * UNIT, 19_300_000_000)}
    terms["VAL-BAG"] = SkuTerms(
        "graduated",
        2_250_000_000,
        1_500_000_000_000,
        parse_tiers([{"threshold": threshold, "price": price} for threshold, price in TIERS]),
    )
    for event in events:
        place = event.sku, event.at_us >= FEBRUARY
        before = used.get(place, 0)
        if event.sku not in terms:
            expected.append("NO_ENTITLEMENT")
        elif before + event.quantity < 0:
            expected.append("CORRECTION_BELOW_ZERO")
        else:
            used[place] = before + event.quantity
            charge = closed_form(used[place], terms[event.sku]) - closed_form(before, terms[event.sku])
            expected.append((event.sku, charge))
    lane = lane_of(id_of("AA"))
    found: list[tuple[str, int] | str] = []
    while events:
        messages = []
        for _ in range(random_.randint(1, 3)):
            size = random_.choice([1, 2, 7, 30])
            taken, events = events[:size], events[size:]
            if taken:
                messages.append(shop.message(lane, taken))
        for batch in await shop.apply(lane, messages):
            outcome: dict[int, tuple[str, int] | str] = dict(reasons(batch))
            outcome |= {charge.entry_seq: (charge.sku, unpack_int(charge.amount)) for charge in batch.charges}
            found += [outcome[entry_seq] for entry_seq in sorted(outcome)]
        if random_.random() < 0.3:
            shop.restart()
    assert found == expected
    stored = await shop.rows("SELECT sku, period = '2013-02', quantity FROM usage_position")
    assert {(sku, late): int(quantity * UNIT) for sku, late, quantity in stored} == used
    sums = await shop.rows("SELECT sku, period = '2013-02', sum(amount) FROM charge GROUP BY 1, 2")
    assert {(sku, late): int(total * UNIT) for sku, late, total in sums} == {
        place: closed_form(total, terms[place[0]]) for place, total in used.items()
    }


async def test_rejections_come_in_the_order_of_their_reasons_and_leave_positions(shop: PricingHarness) -> None:
    lane = lane_of(id_of("AA"))
    await shop.rate(Close("2012-12"), lane=lane)
    batch = await shop.rate(
        Event("nobody", "NO-SUCH", UNIT, JANUARY),
        Event("ZZ", "NO-SUCH", UNIT, JANUARY),
        km("ZZ", 1),
        Event("AA", "ACT-LOUNGE", UNIT, JANUARY),
        km("AA", 1, DECEMBER - 1),
        km("AA", 1, JANUARY - 1),
        Event("AA", "ACT-LOUNGE", UNIT, JANUARY - 1),
        km("AA", 2),
        km("AA", -3),
        km("AA", -2),
        lane=lane,
    )
    assert reasons(batch) == [
        (2, "UNKNOWN_ORG"),
        (3, "UNKNOWN_SKU"),
        (4, "NO_ENTITLEMENT"),
        (5, "NO_ENTITLEMENT"),
        (6, "NO_ENTITLEMENT"),
        (7, "PERIOD_CLOSED"),
        (8, "NO_ENTITLEMENT"),
        (10, "CORRECTION_BELOW_ZERO"),
    ]
    assert [charge.entry_seq for charge in batch.charges] == [9, 11]
    assert batch.entry_count == 10
    assert all(rejection.detail.endswith(".") for rejection in batch.rejections)
    assert await shop.rows("SELECT quantity FROM usage_position") == [(0,)]
    stored = await shop.rows("SELECT seq, reason, lane, pos FROM charge_refusal ORDER BY seq")
    assert stored == [(entry_seq, reason, lane, 2) for entry_seq, reason in reasons(batch)]


async def test_a_quantity_of_zero_makes_a_charge_of_zero(shop: PricingHarness) -> None:
    assert amounts(await shop.rate(km("AA", 0))) == [0]


async def test_a_close_counts_from_its_place_on_for_its_organisation_only(shop: PricingHarness) -> None:
    lane = lane_of(id_of("AA"))
    batch = await shop.rate(
        km("AA", 1), Close("2013-01", "AA"), km("AA", 1), km("BB", 1), km("AA", 1, FEBRUARY), lane=lane
    )
    assert [charge.entry_seq for charge in batch.charges] == [1, 4, 5]
    assert reasons(batch) == [(3, "PERIOD_CLOSED")]
    assert [(close.period, close.org_id) for close in batch.period_closes] == [("2013-01", id_of("AA"))]
    shop.restart()
    again = await shop.rate(Close("2013-01", "AA"), km("AA", 1), km("BB", 1), Close("2013-01"), km("BB", 1), lane=lane)
    assert reasons(again) == [(7, "PERIOD_CLOSED"), (10, "PERIOD_CLOSED")]
    closes = await shop.rows("SELECT period, pos, seq FROM period_close ORDER BY seq")
    assert closes == [("2013-01", 1, 2), ("2013-01", 2, 9)]


async def test_a_failed_batch_leaves_no_trace_in_memory(shop: PricingHarness) -> None:
    lane = lane_of(id_of("AA"))
    await shop.rate(km("AA", 1))
    await shop.occupy(lane, 3)
    message = shop.message(lane, [km("AA", 5), km("AA", 7)])
    with pytest.raises(Exception, match="pk_charge"):
        await shop.apply(lane, [message])
    await shop.rate(km("AA", 2))
    assert await shop.rows("SELECT quantity FROM usage_position") == [(3,)]


async def test_a_batch_that_fails_gives_up_exactly_the_entries_that_fail_alone(shop: PricingHarness) -> None:
    lane = lane_of(id_of("AA"))
    await shop.rate(km("AA", 1))
    await shop.occupy(lane, 3)
    traces = [TraceRange(traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01", first=0, count=4)]
    message = shop.message(lane, [km("AA", 5), km("AA", 7), Close("2012-12"), km("AA", 9)], traces)
    async with shop.database.transaction() as tx:
        outcome = await shop.rater.process_failed(tx, shop.positions[lane], message, ValueError("it failed"))
    batch = expand_rated(RatedBatch.FromString(outcome.outputs[0].payload))
    assert [charge.entry_seq for charge in batch.charges] == [2, 5]
    assert reasons(batch) == [(3, "PROCESSING_FAILED")]
    assert len(batch.period_closes) == 1
    assert (batch.batch_seq, batch.entry_count, outcome.next_entry_seq) == (2, 4, 6)
    assert [(item.first, item.count) for item in batch.traces] == [(0, 2)]
    assert await shop.rows("SELECT quantity FROM usage_position") == [(15,)]


async def test_orgs_down_makes_the_lane_wait_and_rejects_nothing(shop: PricingHarness) -> None:
    lane = lane_of(id_of("AA"))
    await shop.rate(km("AA", 1))
    message = shop.message(lane, [km("AA", 5), km("nobody", 5)])
    shop.orgs.down = True
    with pytest.raises(Unavailable) as refused:
        await shop.apply(lane, [message])
    assert refused.value.reason == "ORGS_UNAVAILABLE"
    assert await shop.rows("SELECT count(*) FROM charge_refusal") == [(0,)]
    shop.orgs.down = False
    (batch,) = await shop.apply(lane, [message])
    assert [charge.entry_seq for charge in batch.charges] == [2]
    assert reasons(batch) == [(3, "UNKNOWN_ORG")]


async def test_a_mapping_made_just_before_an_event_is_known_when_the_event_is_rated(shop: PricingHarness) -> None:
    lane = lane_of(id_of("ZZ"))
    await shop.assign("ZZ", "plan")
    before = await shop.rate(km("ZZ", 4), lane=lane)
    assert reasons(before) == [(1, "NO_ENTITLEMENT")]
    shop.orgs.map("ZZ", "late account")
    after = await shop.rate(km("ZZ", 4), lane=lane)
    assert [charge.billing_account_id for charge in after.charges] == [id_of("late account")]
    shop.orgs.map("ZZ", "other account", JANUARY + DAY)
    moved = await shop.rate(km("ZZ", 1, JANUARY + DAY - 1), km("ZZ", 1, JANUARY + DAY), lane=lane)
    assert [charge.billing_account_id for charge in moved.charges] == [id_of("late account"), id_of("other account")]
    assert [amount for batch in (after, moved) for amount in amounts(batch)] == [19_300_000] * 3


async def test_an_org_known_terms_known_batch_asks_orgs_for_its_revision_only(shop: PricingHarness) -> None:
    await shop.rate(km("AA", 1))
    shop.orgs.calls.clear()
    await shop.rate(*[km("AA", 1, JANUARY + hour) for hour in range(50)])
    assert shop.orgs.calls == [(0, 0)]


async def test_a_catalog_that_never_stands_still_makes_the_lane_wait(
    shop: PricingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    revisions = itertools.count(100)

    async def restless(_tx: object) -> int:
        return next(revisions)

    lane = lane_of(id_of("AA"))
    message = shop.message(lane, [km("AA", 1)])
    with monkeypatch.context() as patched:
        patched.setattr(segment_resolver, "held_revision", restless)
        with pytest.raises(Unavailable) as refused:
            await shop.apply(lane, [message])
    assert refused.value.reason == "CATALOG_CHANGING"
    shop.restart()
    assert len((await shop.apply(lane, [message]))[0].charges) == 1


async def test_terms_changed_between_two_batches_price_the_second(shop: PricingHarness) -> None:
    first = await shop.rate(km("AA", 4, JANUARY + 20 * DAY))
    await shop.set_row("plan", per_unit("OBJ-KM", "1", "3"), JANUARY + 17 * DAY)
    second = await shop.rate(km("AA", 1, JANUARY + 20 * DAY), km("AA", 1, JANUARY + 17 * DAY - 1))
    assert amounts(first) + amounts(second) == [19_300_000, UNIT, 19_300_000]
    assert second.catalog_revision == first.catalog_revision + 1


@dataclass(frozen=True)
class Used:
    """A state that is more than a number."""

    quantity: int
    events: int = 0

    def __index__(self) -> int:
        return self.quantity


class EveryEvent(PerUnit):
    """Charges each event since the last restart by its number."""

    def restore(self, quantity: int) -> Any:
        return Used(quantity)

    def increment(self, state: Any, quantity: int, table: object) -> tuple[Any, int]:
        return Used(state.quantity + quantity, state.events + 1), state.events + 1


async def test_a_models_state_is_its_own_value_and_stored_as_the_quantity_that_it_stands_for(
    shop: PricingHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cast(dict[str, Any], MODELS), "per_unit", EveryEvent())
    assert amounts(await shop.rate(km("AA", 4), km("AA", 2))) == [1, 2]
    assert amounts(await shop.rate(km("AA", 1))) == [3]
    assert await shop.rows("SELECT quantity FROM usage_position") == [(7,)]
    assert await shop.rows("SELECT quantity_before FROM charge ORDER BY seq") == [(0,), (4,), (6,)]
    shop.restart()
    assert amounts(await shop.rate(km("AA", 1))) == [1]
    assert await shop.rows("SELECT quantity FROM usage_position") == [(8,)]


async def test_plan_and_account_in_different_currencies_charge_nothing(shop: PricingHarness) -> None:
    shop.orgs.map("AA", "yen", JANUARY + DAY, "JPY")
    batch = await shop.rate(km("AA", 4), km("AA", 4, JANUARY + DAY))
    assert [charge.entry_seq for charge in batch.charges] == [1]
    assert reasons(batch) == [(2, "PROCESSING_FAILED")]


async def test_an_event_outside_all_periods_is_rejected(shop: PricingHarness) -> None:
    batch = await shop.rate(km("AA", 1, -1), km("AA", 1))
    assert reasons(batch) == [(1, "PROCESSING_FAILED")]
    assert len(batch.charges) == 1


async def test_shadow_stores_and_counts_and_publishes_nothing(shop: PricingHarness) -> None:
    await shop.mode(pb.ENGINE_MODE_SHADOW, "AA")
    batch = await shop.rate(km("AA", 4), km("AA", -9), km("AA", 4))
    assert list(batch.charges) == []
    assert reasons(batch) == [(2, "CORRECTION_BELOW_ZERO")]
    assert await shop.rows("SELECT mode, count(*) FROM charge GROUP BY 1") == [("shadow", 2)]
    assert await shop.rows("SELECT quantity FROM usage_position") == [(8,)]


async def test_without_any_mode_the_engine_is_in_shadow(harness: PricingHarness) -> None:
    await harness.sku("OBJ-KM")
    harness.orgs.map("AA", "group")
    await harness.plan("plan", per_unit("OBJ-KM", "1"))
    await harness.assign("AA", "plan")
    assert list((await harness.rate(km("AA", 1))).charges) == []
    assert await harness.rows("SELECT mode FROM charge") == [("shadow",)]


async def test_off_counts_the_usage_and_charges_nothing(shop: PricingHarness) -> None:
    await shop.mode(pb.ENGINE_MODE_OFF)
    batch = await shop.rate(km("AA", 4))
    assert list(batch.charges) == []
    assert await shop.rows("SELECT count(*) FROM charge") == [(0,)]
    await shop.live()
    assert amounts(await shop.rate(km("AA", 1))) == [19_300_000]


async def test_each_published_charge_keeps_the_trace_of_its_event(shop: PricingHarness) -> None:
    first, second = ("00-" + digit * 32 + "-" + digit * 16 + "-01" for digit in "12")
    lane = lane_of(id_of("AA"))
    traces = [TraceRange(traceparent=first, first=0, count=2), TraceRange(traceparent=second, first=3, count=2)]
    entries = [km("AA", 1), km("AA", -5), km("AA", 1), km("AA", 1), km("AA", 1)]
    (batch,) = await shop.apply(lane, [shop.message(lane, entries, traces)])
    assert [charge.entry_seq for charge in batch.charges] == [1, 3, 4, 5]
    assert [(item.first, item.count) for item in batch.traces] == [(0, 1), (2, 2)]


async def test_an_empty_batch_is_published_empty(shop: PricingHarness) -> None:
    batch = await shop.rate(lane=3)
    assert (batch.lane, batch.batch_seq, batch.entry_count) == (3, 1, 0)
    assert batch.orgs_revision == shop.orgs.revision


def test_a_message_that_cannot_be_read_stops_the_lane_and_never_passes_for_a_batch(harness: PricingHarness) -> None:
    value, weight = harness.rater.decode(b"\xff\xff\xff")
    assert (harness.rater.batch_seq_of(value), weight) == (2**63 - 1, 0)
