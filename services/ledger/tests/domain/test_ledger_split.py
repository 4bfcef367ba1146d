"""The split of a line, against fractions."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from apportion_ledger.domain.split import FULL_PCT, split
from hypothesis import given
from hypothesis import strategies as st

GROSS = st.integers(-(10**27) + 1, 10**27 - 1)
PCT = st.integers(0, FULL_PCT)


def half_away(value: Fraction) -> int:
    return floor(value + Fraction(1, 2)) if value >= 0 else -floor(-value + Fraction(1, 2))


@given(GROSS, PCT)
def test_the_share_is_rounded_and_the_net_is_the_rest(gross: int, pct: int) -> None:
    share, net = split(gross, pct)
    assert share == half_away(Fraction(gross) * Fraction(pct, 1_000_000))
    assert share + net == gross


@given(GROSS, PCT)
def test_a_correction_mirrors_its_charge(gross: int, pct: int) -> None:
    share, net = split(gross, pct)
    assert split(-gross, pct) == (-share, -net)


def test_the_ends_of_the_scale() -> None:
    assert split(7, 0) == (0, 7)
    assert split(7, FULL_PCT) == (7, 0)
    assert split(1, FULL_PCT // 2) == (1, 0)
