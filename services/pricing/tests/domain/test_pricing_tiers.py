"""Tiers: what they are, and what is refused when it is written."""

from __future__ import annotations

from typing import Any

import pytest
from apportion_common.errors import ApportionError
from apportion_pricing.domain.tiers import Tiers, parse_included, parse_price, parse_tiers
from apportion_pricing.limits import TIERS_MAX


def tier(threshold: object, price: object = "1") -> dict[str, object]:
    return {"threshold": threshold, "price": price}


def reason_of(rows: list[Any]) -> str:
    with pytest.raises(ApportionError) as refused:
        parse_tiers(rows)
    return refused.value.reason


def test_tiers_are_read_from_strings_and_whole_numbers() -> None:
    tiers = parse_tiers([tier(1000, "0.018"), tier("5000.5", "0.0150")])
    assert tiers.thresholds == (1000 * 10**9, 5000_500_000_000)
    assert tiers.prices == (18 * 10**9, 15 * 10**9)
    assert tiers.to_json() == [tier("1000", "0.018"), tier("5000.5", "0.015")]
    assert parse_tiers(tiers.to_json()) == tiers


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([tier("5"), tier("3")], "TIERS_UNSORTED"),
        ([tier("5"), tier("5.0")], "TIERS_DUPLICATE"),
        ([tier("0")], "TIERS_THRESHOLD_NOT_POSITIVE"),
        ([tier("-1")], "TIERS_THRESHOLD_NOT_POSITIVE"),
        ([tier("1", "-0.01")], "PRICE_NEGATIVE"),
        ([tier("1", "0.0000000000001")], "PRICE_TOO_PRECISE"),
        ([tier("0.0000000001")], "QUANTITY_TOO_PRECISE"),
        ([tier("NaN")], "QUANTITY_MALFORMED"),
        ([tier("1e400")], "QUANTITY_OUT_OF_RANGE"),
        ([tier("1", None)], "TIERS_MALFORMED"),
        ([tier("1", True)], "TIERS_MALFORMED"),
        ([tier(10**40)], "TIERS_MALFORMED"),
        ([{"threshold": "1"}], "TIERS_MALFORMED"),
        ([{**tier("1"), "flat": "1"}], "TIERS_MALFORMED"),
        ([tier(str(n + 1)) for n in range(TIERS_MAX + 1)], "TIERS_TOO_MANY"),
    ],
)
def test_what_are_no_tiers_is_refused(rows: list[dict[str, object]], reason: str) -> None:
    assert reason_of(rows) == reason


def test_a_number_that_json_gave_as_a_binary_fraction_is_refused() -> None:
    assert reason_of([{"threshold": "1", "price": 1 / 2}]) == "TIERS_MALFORMED"


def test_tiers_made_in_code_are_checked_too() -> None:
    with pytest.raises(ApportionError) as refused:
        Tiers((2, 1), (0, 0))
    assert refused.value.reason == "TIERS_UNSORTED"
    with pytest.raises(ApportionError) as refused:
        Tiers((1,), ())
    assert refused.value.reason == "TIERS_MALFORMED"
    with pytest.raises(ApportionError) as refused:
        Tiers(tuple(range(1, TIERS_MAX + 2)), (0,) * (TIERS_MAX + 1))
    assert refused.value.reason == "TIERS_TOO_MANY"


def test_prices_and_included_quantities_are_not_negative() -> None:
    assert parse_price("0") == parse_included("0") == 0
    for parse, reason in ((parse_price, "PRICE_NEGATIVE"), (parse_included, "INCLUDED_NEGATIVE")):
        with pytest.raises(ApportionError) as refused:
            parse("-0.000000001")
        assert refused.value.reason == reason
