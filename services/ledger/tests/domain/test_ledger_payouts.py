"""What is paid at once, and what a sweep pays."""

from __future__ import annotations

from typing import Any

import pytest
from apportion_common.errors import ApportionError
from apportion_ledger.domain.payouts import Payout, PayoutState, parse_thresholds, real_time_payout, sweep_payout
from apportion_ledger.limits import PAYOUT_AMOUNT_MAX
from hypothesis import given
from hypothesis import strategies as st

UNIT = 10**9
CENT = 10**7
MOST = PAYOUT_AMOUNT_MAX // CENT * CENT


def decide(**changes: Any) -> Payout:
    case: dict[str, Any] = {
        "kind": "usage",
        "currency": "AUD",
        "gross": 50 * UNIT,
        "share": 5 * UNIT,
        "balance_before": 0,
        "payout_currency": "AUD",
        "held": False,
        "thresholds": {"AUD": 50 * UNIT},
    }
    return real_time_payout(**{**case, **changes})


def test_a_line_at_the_threshold_is_paid_its_share() -> None:
    assert decide() == Payout(5 * UNIT, PayoutState.PAID)


def test_the_share_is_cut_and_no_earlier_remainder_comes_with_it() -> None:
    assert decide(share=5 * UNIT + CENT - 1, balance_before=CENT - 1).amount == 5 * UNIT


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"gross": 49_995_000_000}, PayoutState.BELOW_THRESHOLD),
        ({"gross": -60 * UNIT, "share": -6 * UNIT}, PayoutState.BELOW_THRESHOLD),
        ({"balance_before": -1}, PayoutState.NEGATIVE_BALANCE),
        ({"held": True}, PayoutState.HELD),
        ({"payout_currency": "JPY"}, PayoutState.OTHER_CURRENCY),
        ({"payout_currency": None, "share": 0}, PayoutState.NO_PARTNER),
        ({"currency": "JPY", "payout_currency": "JPY"}, PayoutState.NO_THRESHOLD),
        ({"share": CENT - 1}, PayoutState.ROUNDS_TO_ZERO),
        ({"kind": "reversal"}, PayoutState.KIND_NOT_PAID),
        ({"kind": "adjustment"}, PayoutState.KIND_NOT_PAID),
    ],
)
def test_a_line_that_waits_says_why(changes: dict[str, Any], state: PayoutState) -> None:
    assert decide(**changes) == Payout(0, state)


@pytest.mark.parametrize("kind", ["usage", "rerate", "base", "minimum"])
def test_charges_of_a_period_may_be_paid_in_real_time(kind: str) -> None:
    assert decide(kind=kind).state is PayoutState.PAID


def test_thresholds_are_per_currency() -> None:
    assert parse_thresholds({"AUD": "50"}) == {"AUD": 50 * UNIT}
    assert parse_thresholds({"JPY": "5000", "KWD": "0.001"}) == {"JPY": 5000 * UNIT, "KWD": 10**6}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"AUD": "0"}, "THRESHOLD_NOT_POSITIVE"),
        ({"AUD": "-50"}, "THRESHOLD_NOT_POSITIVE"),
        ({"AUD": "NaN"}, "AMOUNT_MALFORMED"),
        ({"AUD": ""}, "AMOUNT_MALFORMED"),
        ({"AUD": "Infinity"}, "AMOUNT_MALFORMED"),
        ({"XXX": "50"}, "CURRENCY_UNKNOWN"),
    ],
)
def test_a_threshold_that_makes_no_sense_stops_the_service(settings: dict[str, str], reason: str) -> None:
    with pytest.raises(ApportionError) as rejected:
        parse_thresholds(settings)
    assert rejected.value.reason == reason


@pytest.mark.parametrize(
    ("changes", "payout"),
    [
        ({}, Payout(12 * UNIT, PayoutState.PAID)),
        ({"balance": -1}, Payout(0, PayoutState.NEGATIVE_BALANCE)),
        ({"balance": CENT - 1}, Payout(0, PayoutState.ROUNDS_TO_ZERO)),
        ({"payout_currency": "JPY"}, Payout(0, PayoutState.OTHER_CURRENCY)),
        ({"held": True}, Payout(0, PayoutState.HELD)),
        ({"minimum": 12 * UNIT}, Payout(12 * UNIT, PayoutState.PAID)),
        ({"minimum": 12 * UNIT + CENT}, Payout(0, PayoutState.BELOW_MINIMUM)),
        ({"balance": MOST + CENT}, Payout(MOST, PayoutState.ABOVE_MAXIMUM)),
        ({"balance": MOST}, Payout(MOST, PayoutState.PAID)),
    ],
)
def test_a_sweep_pays_the_whole_minor_units_of_a_balance_or_says_why_not(
    changes: dict[str, Any], payout: Payout
) -> None:
    case: dict[str, Any] = {"currency": "AUD", "balance": 12 * UNIT + CENT - 1, "payout_currency": "AUD"}
    assert sweep_payout(**{**case, **changes}) == payout


@given(st.lists(st.tuples(st.integers(-(10**12), 10**12), st.integers(-(10**11), 10**11)), max_size=40))
def test_payouts_and_balance_are_always_what_was_earned(lines: list[tuple[int, int]]) -> None:
    earned = paid = 0
    for gross, share in lines:
        payout = decide(gross=gross, share=share, balance_before=earned - paid)
        earned, paid = earned + share, paid + payout.amount
        assert payout.amount % CENT == 0
    swept = sweep_payout(currency="AUD", balance=earned - paid, payout_currency="AUD").amount
    assert 0 <= earned - paid - swept < CENT or (swept == 0 and earned < paid)
