"""Charges that other billing systems publish in their tests, computed by our rules (see pricing.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from apportion_common.decimals import AMOUNT, AMOUNT_PLACES, QUANTITY, parse_scaled, round_half_away_to_multiple
from apportion_pricing.domain.charge_models import MODELS
from apportion_pricing.domain.rejections import Rejection
from apportion_pricing.domain.terms import SkuTerms
from apportion_pricing.domain.tiers import parse_included, parse_price, parse_tiers

from tests.oracles.pricing_closed_form import closed_form

CASES: Final[dict[str, Any]] = json.loads((Path(__file__).parent / "pricing.json").read_text())


def models_of(case: dict[str, Any]) -> list[str]:
    """A row without tiers is charged the same by both models."""
    return ["graduated"] if case["tiers"] else ["per_unit", "graduated"]


def terms(case: dict[str, Any], model: str) -> SkuTerms:
    tiers = parse_tiers(case["tiers"])
    return SkuTerms(model, parse_included(case["included"]), parse_price(case["overage_price"]), tiers)


def increment(values: SkuTerms, before: int, quantity: int) -> object:
    model = MODELS[values.charge_model]
    return model.increment(model.restore(before), quantity, model.table(values))


def rounded(amount: int, places: int | None) -> int:
    return amount if places is None else round_half_away_to_multiple(amount, 10 ** (AMOUNT_PLACES - places))


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["id"])
def test_a_published_charge_is_ours_by_the_increment_and_by_the_closed_form(case: dict[str, Any]) -> None:
    before, quantity = parse_scaled(case["before"], QUANTITY), parse_scaled(case["quantity"], QUANTITY)
    expected = parse_scaled(case["expected"], AMOUNT)
    for values in (terms(case, model) for model in models_of(case)):
        outcome = increment(values, before, quantity)
        assert isinstance(outcome, tuple)
        assert rounded(outcome[1], case["round_to"]) == expected
        by_total = closed_form(before + quantity, values) - closed_form(before, values)
        assert rounded(by_total, case["round_to"]) == expected


@pytest.mark.parametrize("case", CASES["rounding"], ids=lambda case: case["id"])
def test_a_published_rounding_is_half_away_from_zero(case: dict[str, Any]) -> None:
    amount = parse_scaled(case["amount"], AMOUNT)
    assert rounded(amount, case["places"]) == parse_scaled(case["expected"], AMOUNT)


@pytest.mark.parametrize("case", CASES["differs"], ids=lambda case: case["id"])
def test_where_our_rule_differs_the_file_says_why(case: dict[str, Any]) -> None:
    before, quantity = parse_scaled(case["before"], QUANTITY), parse_scaled(case["quantity"], QUANTITY)
    for model in models_of(case):
        outcome = increment(terms(case, model), before, quantity)
        assert isinstance(outcome, Rejection)
        assert outcome.reason == case["ours"]
    assert case["why"]


def test_a_case_that_is_not_carried_says_why() -> None:
    assert all(case["why"] for case in CASES["not_carried"])
