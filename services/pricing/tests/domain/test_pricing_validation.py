"""What is refused when terms are written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from apportion_common.errors import FailedPrecondition
from apportion_common.periods import parse_period
from apportion_pricing.domain.terms import SkuTerms
from apportion_pricing.domain.tiers import Tiers
from apportion_pricing.domain.validation import check_effective_at

START = parse_period("2013-01").start_us
TERMS = SkuTerms("graduated", 5, 8, Tiers((10,), (7,)))


def test_prices_change_at_any_instant() -> None:
    check_effective_at(START + 1, TERMS, replace(TERMS, overage_price=9, tiers=Tiers((10,), (6,))))


@pytest.mark.parametrize(
    "after",
    [
        replace(TERMS, included=6),
        replace(TERMS, tiers=Tiers((11,), (7,))),
        replace(TERMS, charge_model="per_unit"),
        None,
    ],
)
def test_everything_else_changes_at_a_periods_start(after: SkuTerms | None) -> None:
    check_effective_at(START, TERMS, after)
    for before, then in ((TERMS, after), (after, TERMS)):
        with pytest.raises(FailedPrecondition) as refused:
            check_effective_at(START + 1, before, then)
        assert refused.value.reason == "EFFECTIVE_AT_NOT_PERIOD_START"
