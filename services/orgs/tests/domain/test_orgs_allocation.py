"""Who pays what of an account's total."""

from __future__ import annotations

import pytest
from apportion_common.errors import ApportionError
from apportion_common.money import minor_unit
from apportion_orgs.domain.allocation import FULL_PERCENT, Allocation, OrgUsage, allocate, check_percent
from hypothesis import given
from hypothesis import strategies as st

OWNER, A, B, C = (bytes([n]) * 16 for n in range(1, 5))
UNIT = 10**9

USAGES = st.lists(
    st.builds(
        lambda org, total, allocation, percent: OrgUsage(
            org, total, allocation, percent if allocation is Allocation.SPLIT else None
        ),
        st.sampled_from([OWNER, A, B, C]),
        st.integers(-(10**13), 10**13),
        st.sampled_from(Allocation),
        st.integers(0, FULL_PERCENT),
    ),
    max_size=4,
    unique_by=lambda usage: usage.org_id,
)


def test_absorb_and_chargeback_are_paid_by_the_owner_and_a_split_by_both() -> None:
    result = allocate(
        OWNER,
        "AUD",
        [
            OrgUsage(A, 10 * UNIT, Allocation.ABSORB),
            OrgUsage(B, 20 * UNIT, Allocation.CHARGEBACK),
            OrgUsage(C, 31 * UNIT, Allocation.SPLIT, 333_300),
        ],
    )
    assert result.payers == ((OWNER, 40_330_000_000), (C, 20_670_000_000))
    assert result.copies == ((B, 20 * UNIT),)
    assert result.rounding_difference == 0


def test_the_owners_share_of_a_part_is_rounded_half_away() -> None:
    one = allocate(OWNER, "JPY", [OrgUsage(A, 5 * UNIT, Allocation.SPLIT, FULL_PERCENT // 2)])
    assert one.payers == ((OWNER, 3 * UNIT), (A, 2 * UNIT))
    credit = allocate(OWNER, "JPY", [OrgUsage(A, -5 * UNIT, Allocation.SPLIT, FULL_PERCENT // 2)])
    assert credit.payers == ((OWNER, -3 * UNIT), (A, -2 * UNIT))


def test_an_owner_that_is_one_of_the_orgs_is_one_payer() -> None:
    result = allocate(
        OWNER, "AUD", [OrgUsage(OWNER, 10 * UNIT, Allocation.SPLIT, 250_000), OrgUsage(A, UNIT, Allocation.ABSORB)]
    )
    assert result.payers == ((OWNER, 11 * UNIT),)


def test_an_account_without_lines_has_no_payers() -> None:
    assert allocate(OWNER, "AUD", []).payers == ()


@given(USAGES, st.sampled_from(["AUD", "JPY", "KWD"]))
def test_all_payers_together_pay_exactly_the_total(usages: list[OrgUsage], currency: str) -> None:
    result, unit = allocate(OWNER, currency, usages), minor_unit(currency)
    assert sum(amount for _, amount in result.payers) == result.invoice_total
    assert result.rounding_difference == result.invoice_total - sum(usage.ledger_total for usage in usages)
    assert 2 * abs(result.rounding_difference) <= unit
    for part in result.parts:
        assert part.owner_pays + part.org_pays == part.part
        assert part.owner_pays % unit == 0
        percent = part.usage.percent if part.usage.percent is not None else FULL_PERCENT
        assert 2 * abs(part.owner_pays * FULL_PERCENT - part.part * percent) <= unit * FULL_PERCENT


@pytest.mark.parametrize(
    ("allocation", "percent", "reason"),
    [
        (Allocation.SPLIT, None, "ALLOCATION_PERCENT_MISSING"),
        (Allocation.ABSORB, "50", "ALLOCATION_PERCENT_UNEXPECTED"),
        (Allocation.SPLIT, "100.0001", "PERCENT_OUT_OF_RANGE"),
        (Allocation.SPLIT, "-1", "PERCENT_OUT_OF_RANGE"),
        (Allocation.SPLIT, "33.33333", "PERCENT_TOO_PRECISE"),
    ],
)
def test_a_percent_belongs_to_a_split_and_lies_within_a_hundred(
    allocation: Allocation, percent: str | None, reason: str
) -> None:
    with pytest.raises(ApportionError) as rejected:
        check_percent(allocation, percent)
    assert rejected.value.reason == reason


def test_a_percent_is_read_exactly() -> None:
    assert check_percent(Allocation.SPLIT, "33.33") == 333_300
    assert check_percent(Allocation.CHARGEBACK, None) is None


def test_a_split_without_a_percent_is_rejected() -> None:
    with pytest.raises(ApportionError) as rejected:
        allocate(OWNER, "AUD", [OrgUsage(A, UNIT, Allocation.SPLIT)])
    assert rejected.value.reason == "ALLOCATION_PERCENT_MISSING"
