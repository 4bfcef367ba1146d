"""Apportionment by largest remainder, against a plain model in fractions."""

from __future__ import annotations

from fractions import Fraction
from math import floor, trunc

import pytest
from apportion_orgs.domain.apportionment import apportion
from hypothesis import given
from hypothesis import strategies as st

CENT = 10**7
AMOUNTS = st.lists(st.integers(-(10**15), 10**15) | st.integers(-20, 20).map(lambda n: n * CENT // 4), max_size=12)
UNITS = st.sampled_from([CENT, 10**9, 10**6])


def plain(amounts: list[int], unit: int) -> list[int]:
    """Parts in units, as the rule reads: cut, then one missing unit at a time to the largest remainder left."""
    exact = [Fraction(amount, unit) for amount in amounts]
    whole = sum(exact, Fraction(0))
    total = floor(whole + Fraction(1, 2)) if whole >= 0 else -floor(-whole + Fraction(1, 2))
    parts, rests = [trunc(x) for x in exact], [x - trunc(x) for x in exact]
    while sum(parts) != total:
        sign = 1 if sum(parts) < total else -1
        index = max(range(len(parts)), key=lambda i: (sign * rests[i], -i))
        parts[index] += sign
        rests[index] = Fraction(-sign * 10)
    return parts


@given(AMOUNTS, UNITS)
def test_the_parts_are_the_plain_rule_and_sum_to_the_total(amounts: list[int], unit: int) -> None:
    total, parts = apportion(amounts, unit)
    assert [part // unit for part in parts] == plain(amounts, unit)
    assert sum(parts) == total
    assert total % unit == 0
    assert 2 * abs(total - sum(amounts)) <= unit


@given(AMOUNTS, UNITS)
def test_each_part_is_less_than_a_unit_away_from_its_amount(amounts: list[int], unit: int) -> None:
    _, parts = apportion(amounts, unit)
    assert all(abs(part - amount) < unit for part, amount in zip(parts, amounts, strict=True))


@given(AMOUNTS, UNITS)
def test_a_credit_is_the_mirror_of_a_charge(amounts: list[int], unit: int) -> None:
    total, parts = apportion(amounts, unit)
    assert apportion([-amount for amount in amounts], unit) == (-total, [-part for part in parts])


def test_ties_go_by_declared_order() -> None:
    third = 5_132_325 * 10**6
    assert apportion([third] * 3, CENT) == (15_396_980 * 10**6, [5_132_330 * 10**6] * 2 + [5_132_320 * 10**6])


@pytest.mark.parametrize("amounts", [[], [0], [0, 0]])
def test_nothing_is_apportioned_to_nothing(amounts: list[int]) -> None:
    assert apportion(amounts, CENT) == (0, amounts)
