"""Rating against plain models in fractions that share no code with it."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest
from apportion_common.decimals import MAX_QUANTITY
from apportion_pricing.domain.rating import Refusal, closed_form, compile_ladder, step
from apportion_pricing.domain.tiers import NO_TIERS, Tiers, parse_tiers
from hypothesis import given
from hypothesis import strategies as st

UNIT = 10**9
PRICES = st.integers(0, 10**14) | st.sampled_from([0, 500, 1, 10**12])
"""At 12 places; 500 makes half a unit of an amount's last place."""
QUANTITIES = st.integers(0, 10**13) | st.integers(0, 200).map(lambda n: n * UNIT)


@st.composite
def ladders(draw: st.DrawFn) -> tuple[int, int, Tiers]:
    thresholds = draw(st.lists(QUANTITIES.filter(bool), max_size=6, unique=True).map(sorted))
    prices = draw(st.lists(PRICES, min_size=len(thresholds), max_size=len(thresholds)))
    return draw(QUANTITIES), draw(PRICES), Tiers(tuple(thresholds), tuple(prices))


def plain_total(total: int, included: int, first: int, tiers: Tiers) -> int:
    """The charge as the rule reads: each slice of usage at its price, in fractions, rounded once at 9 places."""
    used = max(Fraction(total - included, UNIT), Fraction(0))
    bounds = [Fraction(0), *(Fraction(t, UNIT) for t in tiers.thresholds)]
    prices = [Fraction(p, 10**12) for p in (first, *tiers.prices)]
    charge = Fraction(0)
    for index, price in enumerate(prices):
        upper = bounds[index + 1] if index + 1 < len(bounds) else max(used, bounds[index])
        charge += max(min(used, upper) - bounds[index], Fraction(0)) * price
    scaled = charge * UNIT
    return int(scaled + Fraction(1, 2))


@given(ladders(), QUANTITIES)
def test_the_closed_form_is_the_plain_rule(terms: tuple[int, int, Tiers], total: int) -> None:
    assert closed_form(total, *terms) == plain_total(total, *terms)


@given(ladders(), QUANTITIES, QUANTITIES)
def test_one_step_is_the_difference_of_two_totals(terms: tuple[int, int, Tiers], before: int, quantity: int) -> None:
    after = before + quantity
    assert step(before, quantity, compile_ladder(*terms)) == (
        after,
        plain_total(after, *terms) - plain_total(before, *terms),
    )


@given(ladders(), st.lists(QUANTITIES, max_size=30), st.randoms())
def test_the_steps_sum_to_the_total_in_any_order_and_any_cutting(
    terms: tuple[int, int, Tiers], quantities: list[int], random: Random
) -> None:
    ladder, total = compile_ladder(*terms), sum(quantities)
    cut = [part for quantity in quantities for part in (quantity // 3, quantity - quantity // 3)]
    shuffled = sorted(quantities, key=lambda _: random.random())
    for order in (quantities, shuffled, cut):
        position, charged = 0, 0
        for quantity in order:
            stepped = step(position, quantity, ladder)
            assert isinstance(stepped, tuple)
            position, amount = stepped
            charged += amount
        assert (position, charged) == (total, closed_form(total, *terms))


@given(ladders(), st.lists(st.integers(-(10**12), 10**12), max_size=40))
def test_corrections_take_back_exactly_what_was_charged(terms: tuple[int, int, Tiers], quantities: list[int]) -> None:
    ladder, position, charged = compile_ladder(*terms), 0, 0
    for quantity in quantities:
        stepped = step(position, quantity, ladder)
        if position + quantity < 0:
            assert stepped is Refusal.CORRECTION_BELOW_ZERO
        else:
            assert isinstance(stepped, tuple)
            position, charged = stepped[0], charged + stepped[1]
        assert charged == closed_form(position, *terms)


@given(ladders(), ladders(), QUANTITIES, QUANTITIES)
def test_under_new_prices_an_event_costs_the_difference_of_totals_under_them(
    old: tuple[int, int, Tiers], new: tuple[int, int, Tiers], first: int, second: int
) -> None:
    stepped = step(0, first, compile_ladder(*old))
    assert isinstance(stepped, tuple)
    assert step(stepped[0], second, compile_ladder(*new)) == (
        first + second,
        plain_total(first + second, *new) - plain_total(first, *new),
    )


TIERS = parse_tiers([{"threshold": "1000", "price": "0.018"}, {"threshold": "5000", "price": "0.015"}])


def amount(position: str, quantity: str, included: int = 0) -> int:
    stepped = step(int(position) * UNIT, int(quantity) * UNIT, compile_ladder(included * UNIT, 2 * 10**10, TIERS))
    assert isinstance(stepped, tuple)
    return stepped[1]


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
    stepped = step(1000 * UNIT - UNIT // 2, UNIT, compile_ladder(0, 2 * 10**10, TIERS))
    assert stepped == (1000 * UNIT + UNIT // 2, 19_000_000)


def test_the_cumulative_amount_is_rounded_and_not_the_slice() -> None:
    ladder = compile_ladder(0, 500, NO_TIERS)
    assert step(0, UNIT, ladder) == (UNIT, 1)
    assert step(UNIT, UNIT, ladder) == (2 * UNIT, 0)


def test_a_quantity_of_zero_is_an_amount_of_zero() -> None:
    assert step(5 * UNIT, 0, compile_ladder(0, 10**12, TIERS)) == (5 * UNIT, 0)


def test_a_correction_goes_down_to_zero_usage_and_not_below() -> None:
    ladder = compile_ladder(0, 10**12, NO_TIERS)
    assert step(UNIT, -UNIT, ladder) == (0, -UNIT)
    assert step(UNIT, -UNIT - 1, ladder) is Refusal.CORRECTION_BELOW_ZERO


@pytest.mark.parametrize(("quantity", "price"), [(MAX_QUANTITY, 10**12), (1, 0)])
def test_usage_beyond_eighteen_digits_is_refused(quantity: int, price: int) -> None:
    assert step(MAX_QUANTITY, quantity, compile_ladder(0, price, NO_TIERS)) is Refusal.AMOUNT_OUT_OF_RANGE


def test_a_refusal_is_its_dead_letters_reason_where_there_is_one() -> None:
    assert Refusal.CORRECTION_BELOW_ZERO.dead_letter_reason == "CORRECTION_BELOW_ZERO"
    assert Refusal.AMOUNT_OUT_OF_RANGE.dead_letter_reason == "PROCESSING_FAILED"


def test_an_amount_beyond_eighteen_digits_is_refused() -> None:
    ladder = compile_ladder(0, 2 * 10**12, NO_TIERS)
    assert step(0, MAX_QUANTITY, ladder) is Refusal.AMOUNT_OUT_OF_RANGE
    assert step(0, MAX_QUANTITY, compile_ladder(0, 10**12, NO_TIERS)) == (MAX_QUANTITY, MAX_QUANTITY)
