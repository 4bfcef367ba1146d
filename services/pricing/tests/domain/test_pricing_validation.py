"""What is refused when terms are written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from apportion_common.errors import ApportionError, FailedPrecondition
from apportion_pricing.domain.periods import parse_period
from apportion_pricing.domain.rating import ChargeModel
from apportion_pricing.domain.terms import Override, SkuTerms
from apportion_pricing.domain.tiers import Tiers
from apportion_pricing.domain.validation import (
    MAX_OVERRIDDEN_SKUS,
    check_assignment_at,
    check_effective_at,
    parse_overrides,
)

START = parse_period("2013-01").start_us
TERMS = SkuTerms(ChargeModel.GRADUATED, 5, 8, Tiers((10,), (7,)))
MODELS = {"ACT-SMS": ChargeModel.GRADUATED, "OBJ-KM": ChargeModel.PER_UNIT}


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


def test_overrides_are_read_value_by_value() -> None:
    parsed = parse_overrides(
        {
            "ACT-SMS": {"tiers": [{"threshold": "1", "price": "2"}]},
            "OBJ-KM": {"included_qty": "1", "overage_price": "0"},
        },
        MODELS,
    )
    assert parsed == {
        "ACT-SMS": Override(tiers=Tiers((10**9,), (2 * 10**12,))),
        "OBJ-KM": Override(included=10**9, overage_price=0),
    }


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"NO-SUCH": {"overage_price": "1"}}, "OVERRIDE_SKU_UNKNOWN"),
        ({"ACT-SMS": {"overage_price": "-1"}}, "PRICE_NEGATIVE"),
        ({"ACT-SMS": {"overage_price": 1}}, "OVERRIDE_MALFORMED"),
        ({"ACT-SMS": {"included_qty": "-1"}}, "INCLUDED_NEGATIVE"),
        ({"ACT-SMS": {"included_qty": "NaN"}}, "QUANTITY_MALFORMED"),
        ({"ACT-SMS": {}}, "OVERRIDE_MALFORMED"),
        ({"ACT-SMS": []}, "OVERRIDE_MALFORMED"),
        ({"ACT-SMS": {"price": "1"}}, "OVERRIDE_MALFORMED"),
        ({"ACT-SMS": {"tiers": "x"}}, "OVERRIDE_MALFORMED"),
        ({"ACT-SMS": {"tiers": [1]}}, "OVERRIDE_MALFORMED"),
        (
            {"ACT-SMS": {"tiers": [{"threshold": "2", "price": "1"}, {"threshold": "1", "price": "1"}]}},
            "TIERS_UNSORTED",
        ),
        ({"OBJ-KM": {"tiers": [{"threshold": "2", "price": "1"}]}}, "OVERRIDE_TIERS_NOT_GRADUATED"),
        ({f"S-{n}": {} for n in range(MAX_OVERRIDDEN_SKUS + 1)}, "OVERRIDE_TOO_LARGE"),
    ],
)
def test_an_override_that_cannot_be_right_is_refused(overrides: dict[str, object], reason: str) -> None:
    with pytest.raises(ApportionError) as refused:
        parse_overrides(overrides, MODELS)
    assert refused.value.reason == reason
