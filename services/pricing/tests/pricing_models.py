"""What every charge model is tested by: the sentences that hold for all of them, and values to try."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from apportion_pricing.domain.charge_models.model import ChargeModel
from apportion_pricing.domain.rejections import CORRECTION_BELOW_ZERO
from apportion_pricing.domain.terms import SkuTerms
from hypothesis import strategies as st

UNIT = 10**9
PRICES = st.integers(0, 10**14) | st.sampled_from([0, 500, 1, 10**12])
"""At 12 places; 500 makes half a unit of an amount's last place."""
QUANTITIES = st.integers(0, 10**13) | st.integers(0, 200).map(lambda n: n * UNIT)
CORRECTIONS = st.integers(-(10**12), 10**12)

PlainTotal = Callable[[int, SkuTerms], int]


def rounded(charge: Fraction) -> int:
    """Return a charge that is not negative at 9 places, rounded half up."""
    return int(charge * UNIT + Fraction(1, 2))


def run(
    model: ChargeModel[Any, Any], values: SkuTerms, quantities: Iterable[int], quantity: int = 0
) -> tuple[int, int]:
    """Return the usage and the sum of all amounts after events, from a stored usage on; none may be rejected."""
    table, state, charged = model.table(values), model.restore(quantity), 0
    for each in quantities:
        outcome = model.increment(state, each, table)
        assert isinstance(outcome, tuple)
        state, amount = outcome
        charged += amount
    return int(state), charged + model.close(state, table)


def check_increment(model: ChargeModel[Any, Any], values: SkuTerms, plain: PlainTotal, before: int, more: int) -> None:
    """One event's amount is the difference of two totals of the plain model."""
    assert run(model, values, [more], before) == (before + more, plain(before + more, values) - plain(before, values))


def check_any_cutting(
    model: ChargeModel[Any, Any], values: SkuTerms, plain: PlainTotal, quantities: list[int], shuffled: list[int]
) -> None:
    """The amounts sum to the plain total in any order and any cutting."""
    cut = [part for quantity in quantities for part in (quantity // 3, quantity - quantity // 3)]
    total = sum(quantities)
    for order in (quantities, shuffled, cut):
        assert run(model, values, order) == (total, plain(total, values))


def check_corrections(model: ChargeModel[Any, Any], values: SkuTerms, plain: PlainTotal, quantities: list[int]) -> None:
    """A correction takes back exactly what was charged, down to no usage and not below."""
    table, state, charged = model.table(values), model.restore(0), 0
    for quantity in quantities:
        outcome = model.increment(state, quantity, table)
        if int(state) + quantity < 0:
            assert outcome is CORRECTION_BELOW_ZERO
        else:
            assert isinstance(outcome, tuple)
            state, charged = outcome[0], charged + outcome[1]
        assert charged == plain(int(state), values)


def check_new_prices(
    model: ChargeModel[Any, Any], old: SkuTerms, new: SkuTerms, plain: PlainTotal, first: int, second: int
) -> None:
    """Under new prices an event costs the difference of totals under them."""
    used, _ = run(model, old, [first])
    assert run(model, new, [second], used) == (
        first + second,
        plain(first + second, new) - plain(first, new),
    )
