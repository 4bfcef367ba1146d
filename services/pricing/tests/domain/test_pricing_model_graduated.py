"""graduated against a plain model in fractions that shares no code with it."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pricing_models as models
import pytest
from apportion_common.decimals import QUANTITY_MAX
from apportion_pricing.domain.charge_models import MODELS
from apportion_pricing.domain.charge_models.graduated import Graduated
from apportion_pricing.domain.rejections import AMOUNT_OUT_OF_RANGE, CORRECTION_BELOW_ZERO, POSITION_OUT_OF_RANGE
from apportion_pricing.domain.terms import SkuTerms
from apportion_pricing.domain.tiers import NO_TIERS, Tiers, parse_tiers
from apportion_pricing.limits import POSITION_QUANTITY_MAX
from hypothesis import given
from hypothesis import strategies as st
from pricing_models import CORRECTIONS, PRICES, QUANTITIES, UNIT

from tests.oracles.pricing_closed_form import closed_form

MODEL = Graduated()


@st.composite
def rows(draw: st.DrawFn) -> SkuTerms:
    thresholds = draw(st.lists(QUANTITIES.filter(bool), max_size=6, unique=True).map(sorted))
    prices = draw(st.lists(PRICES, min_size=len(thresholds), max_size=len(thresholds)))
    return SkuTerms("graduated", draw(QUANTITIES), draw(PRICES), Tiers(tuple(thresholds), tuple(prices)))


def plain_total(total: int, values: SkuTerms) -> int:
    """The charge as the rule reads: each slice of usage at its price, in fractions, rounded once at 9 places."""
    used = max(Fraction(total - values.included, UNIT), Fraction(0))
    bounds = [Fraction(0), *(Fraction(t, UNIT) for t in values.tiers.thresholds)]
    prices = [Fraction(p, 10**12) for p in (values.overage_price, *values.tiers.prices)]
    charge = Fraction(0)
    for index, price in enumerate(prices):
        upper = bounds[index + 1] if index + 1 < len(bounds) else max(used, bounds[index])
        charge += max(min(used, upper) - bounds[index], Fraction(0)) * price
    return models.rounded(charge)


def terms(price: int, included: int = 0, tiers: Tiers = NO_TIERS) -> SkuTerms:
    return SkuTerms("graduated", included, price, tiers)


def test_it_is_the_model_of_its_name() -> None:
    assert isinstance(MODELS["graduated"], Graduated)


@given(rows(), QUANTITIES)
def test_the_closed_form_is_the_plain_rule(values: SkuTerms, total: int) -> None:
    assert closed_form(total, values) == plain_total(total, values)


@given(rows(), QUANTITIES, QUANTITIES)
def test_one_increment_is_the_difference_of_two_totals(values: SkuTerms, before: int, quantity: int) -> None:
    models.check_increment(MODEL, values, plain_total, before, quantity)


@given(rows(), st.lists(QUANTITIES, max_size=30), st.randoms())
def test_the_increments_sum_to_the_total_in_any_order_and_any_cutting(
    values: SkuTerms, quantities: list[int], random: Random
) -> None:
    shuffled = sorted(quantities, key=lambda _: random.random())
    models.check_any_cutting(MODEL, values, closed_form, quantities, shuffled)


@given(rows(), st.lists(CORRECTIONS, max_size=40))
def test_corrections_take_back_exactly_what_was_charged(values: SkuTerms, quantities: list[int]) -> None:
    models.check_corrections(MODEL, values, closed_form, quantities)


@given(rows(), rows(), QUANTITIES, QUANTITIES)
def test_under_new_prices_an_event_costs_the_difference_of_totals_under_them(
    old: SkuTerms, new: SkuTerms, first: int, second: int
) -> None:
    models.check_new_prices(MODEL, old, new, plain_total, first, second)


TIERS = parse_tiers([{"threshold": "1000", "price": "0.018"}, {"threshold": "5000", "price": "0.015"}])


def amount(position: str, quantity: str, included: int = 0) -> int:
    table = MODEL.table(terms(2 * 10**10, included * UNIT, TIERS))
    outcome = MODEL.increment(int(position) * UNIT, int(quantity) * UNIT, table)
    assert isinstance(outcome, tuple)
    return outcome[1]


def test_a_boundary_unit_belongs_to_the_tier_it_completes() -> None:
    assert amount("999", "1") == 20_000_000
    assert amount("1000", "1") == 18_000_000
    assert amount("4999", "1") == 18_000_000
    assert amount("5000", "1") == 15_000_000


def test_included_units_come_off_before_the_tiers() -> None:
    assert amount("0", "200", included=200) == 0
    assert amount("200", "1000", included=200) == 20 * UNIT
    assert amount("1200", "1", included=200) == 18_000_000


def test_tiers_are_continuous_for_fractions() -> None:
    outcome = MODEL.increment(1000 * UNIT - UNIT // 2, UNIT, MODEL.table(terms(2 * 10**10, tiers=TIERS)))
    assert outcome == (1000 * UNIT + UNIT // 2, 19_000_000)


def test_the_cumulative_amount_is_rounded_and_not_the_slice() -> None:
    table = MODEL.table(terms(500))
    assert MODEL.increment(0, UNIT, table) == (UNIT, 1)
    assert MODEL.increment(UNIT, UNIT, table) == (2 * UNIT, 0)


def test_a_quantity_of_zero_is_an_amount_of_zero() -> None:
    assert MODEL.increment(5 * UNIT, 0, MODEL.table(terms(10**12, tiers=TIERS))) == (5 * UNIT, 0)


def test_a_correction_goes_down_to_zero_usage_and_not_below() -> None:
    table = MODEL.table(terms(10**12))
    assert MODEL.increment(UNIT, -UNIT, table) == (0, -UNIT)
    assert MODEL.increment(UNIT, -UNIT - 1, table) is CORRECTION_BELOW_ZERO


@pytest.mark.parametrize(("quantity", "price"), [(QUANTITY_MAX, 10**12), (1, 0)])
def test_usage_beyond_what_a_position_holds_is_rejected(quantity: int, price: int) -> None:
    table = MODEL.table(terms(price))
    assert MODEL.increment(POSITION_QUANTITY_MAX, quantity, table) is POSITION_OUT_OF_RANGE
    assert MODEL.increment(POSITION_QUANTITY_MAX - quantity, quantity, table) == (
        POSITION_QUANTITY_MAX,
        quantity * price // 10**12,
    )


def test_an_amount_beyond_eighteen_digits_is_rejected() -> None:
    assert MODEL.increment(0, QUANTITY_MAX, MODEL.table(terms(2 * 10**12))) is AMOUNT_OUT_OF_RANGE
    assert MODEL.increment(0, QUANTITY_MAX, MODEL.table(terms(10**12))) == (QUANTITY_MAX, QUANTITY_MAX)
