"""per_unit against a plain model in fractions that shares no code with it."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pricing_models as models
import pytest
from apportion_common.decimals import QUANTITY_MAX
from apportion_common.errors import InvalidArgument
from apportion_pricing.domain.charge_models import MODELS
from apportion_pricing.domain.charge_models.per_unit import PerUnit
from apportion_pricing.domain.rejections import AMOUNT_OUT_OF_RANGE, CORRECTION_BELOW_ZERO, POSITION_OUT_OF_RANGE
from apportion_pricing.domain.terms import SkuTerms
from apportion_pricing.domain.tiers import Tiers
from apportion_pricing.limits import POSITION_QUANTITY_MAX
from hypothesis import given
from hypothesis import strategies as st
from pricing_models import CORRECTIONS, PRICES, QUANTITIES, UNIT

from tests.oracles.pricing_closed_form import closed_form

MODEL = PerUnit()
VALUES = st.builds(SkuTerms, st.just("per_unit"), QUANTITIES, PRICES)


def plain_total(total: int, values: SkuTerms) -> int:
    """The charge as the rule reads: what exceeds the included quantity at the price, rounded once at 9 places."""
    used = max(Fraction(total - values.included, UNIT), Fraction(0))
    return models.rounded(used * Fraction(values.overage_price, 10**12))


def terms(price: int, included: int = 0) -> SkuTerms:
    return SkuTerms("per_unit", included, price)


def test_it_is_the_model_of_its_name() -> None:
    assert isinstance(MODELS["per_unit"], PerUnit)


@given(VALUES, QUANTITIES)
def test_the_closed_form_is_the_plain_rule(values: SkuTerms, total: int) -> None:
    assert closed_form(total, values) == plain_total(total, values)


@given(VALUES, QUANTITIES, QUANTITIES)
def test_one_increment_is_the_difference_of_two_totals(values: SkuTerms, before: int, quantity: int) -> None:
    models.check_increment(MODEL, values, plain_total, before, quantity)


@given(VALUES, st.lists(QUANTITIES, max_size=30), st.randoms())
def test_the_increments_sum_to_the_total_in_any_order_and_any_cutting(
    values: SkuTerms, quantities: list[int], random: Random
) -> None:
    shuffled = sorted(quantities, key=lambda _: random.random())
    models.check_any_cutting(MODEL, values, closed_form, quantities, shuffled)


@given(VALUES, st.lists(CORRECTIONS, max_size=40))
def test_corrections_take_back_exactly_what_was_charged(values: SkuTerms, quantities: list[int]) -> None:
    models.check_corrections(MODEL, values, closed_form, quantities)


@given(VALUES, VALUES, QUANTITIES, QUANTITIES)
def test_under_new_prices_an_event_costs_the_difference_of_totals_under_them(
    old: SkuTerms, new: SkuTerms, first: int, second: int
) -> None:
    models.check_new_prices(MODEL, old, new, plain_total, first, second)


def test_the_cumulative_amount_is_rounded_and_not_the_slice() -> None:
    table = MODEL.table(terms(500))
    assert MODEL.increment(0, UNIT, table) == (UNIT, 1)
    assert MODEL.increment(UNIT, UNIT, table) == (2 * UNIT, 0)


def test_included_units_cost_nothing() -> None:
    table = MODEL.table(terms(10**12, included=3 * UNIT))
    assert MODEL.increment(UNIT, UNIT, table) == (2 * UNIT, 0)
    assert MODEL.increment(2 * UNIT, 2 * UNIT, table) == (4 * UNIT, UNIT)


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


def test_a_row_that_is_charged_per_unit_has_no_tiers() -> None:
    MODEL.validate("OBJ-KM", terms(1))
    with pytest.raises(InvalidArgument) as refused:
        MODEL.validate("OBJ-KM", SkuTerms("per_unit", 0, 1, Tiers((1,), (1,))))
    assert refused.value.reason == "TIERS_NOT_GRADUATED"
