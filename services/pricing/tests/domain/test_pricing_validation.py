"""What is refused when terms are written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from apportion_common.errors import FailedPrecondition
from apportion_pricing.domain.periods import period_of
from apportion_pricing.domain.rating import ChargeModel
from apportion_pricing.domain.terms import SkuTerms
from apportion_pricing.domain.tiers import Tiers
from apportion_pricing.domain.validation import check_assignment_at, check_effective_at

START = period_of(1_356_998_400_000_000).start_us  # January 2013
TERMS = SkuTerms(ChargeModel.GRADUATED, 5, 8, Tiers((10,), (7,)))


def test_prices_change_at_any_instant() -> None:
    check_effective_at(START + 1, TERMS, replace(TERMS, overage_price=9, tiers=Tiers((10,), (6,))))


@pytest.mark.parametrize(
    "after",
    [
        replace(TERMS, included=6),
        replace(TERMS, tiers=Tiers((11,), (7,))),
        replace(TERMS, charge_model=ChargeModel.PER_UNIT),
        None,
    ],
)
def test_everything_else_changes_at_a_periods_start(after: SkuTerms | None) -> None:
    check_effective_at(START, TERMS, after)
    for before, then in ((TERMS, after), (after, TERMS)):
        with pytest.raises(FailedPrecondition) as refused:
            check_effective_at(START + 1, before, then)
        assert refused.value.reason == "EFFECTIVE_AT_NOT_PERIOD_START"


def test_only_the_first_assignment_may_fall_within_a_period() -> None:
    check_assignment_at(START + 1, None)
    check_assignment_at(START, START - 5)
    with pytest.raises(FailedPrecondition) as refused:
        check_assignment_at(START + 1, START)
    assert refused.value.reason == "EFFECTIVE_AT_NOT_PERIOD_START"
