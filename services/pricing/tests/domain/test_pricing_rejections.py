"""Why an event is rejected: the order of the reasons, and what each says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from apportion_pricing.domain.accounts import BillingAccount
from apportion_pricing.domain.rejections import (
    AMOUNT_OUT_OF_RANGE,
    CORRECTION_BELOW_ZERO,
    RejectionReason,
)
from apportion_pricing.domain.segments import REJECTIONS, Segment, rejection_of
from apportion_pricing.domain.terms import AssignmentRow, PlanRow, PlanSkuRow, SkuRow, TermsRows
from apportion_pricing.domain.terms_index import TermsIndex
from apportion_pricing.domain.tiers import NO_TIERS

ORG, ACCOUNT, PLAN = (bytes([n]) * 16 for n in range(1, 4))
TERMS, _, _ = TermsIndex(
    TermsRows(
        skus=[SkuRow("OBJ-KM", "object")],
        plans=[PlanRow(PLAN, "AUD")],
        plan_skus=[PlanSkuRow(PLAN, "OBJ-KM", "per_unit", 0, 1, NO_TIERS, 0)],
        assignments=[AssignmentRow(ORG, PLAN, 0)],
    )
).segment(ORG, ACCOUNT, ACCOUNT, "OBJ-KM", 0, 0)
CHARGED = Segment(0, 1, "2013-01", True, BillingAccount(ACCOUNT, bytes(16), "AUD"), TERMS)
YEN = BillingAccount(ACCOUNT, bytes(16), "JPY")
ONE_EACH = (
    (replace(CHARGED, period=""), False),
    (replace(CHARGED, org_known=False), False),
    (replace(CHARGED, outcome=RejectionReason.UNKNOWN_SKU), False),
    (replace(CHARGED, outcome=RejectionReason.NO_ENTITLEMENT), False),
    (replace(CHARGED, account=None), False),
    (replace(CHARGED, account=YEN), False),
    (CHARGED, True),
)
"""A segment for each row of the table, with nothing else against it."""


def test_a_segment_with_nothing_against_it_is_charged() -> None:
    assert rejection_of(CHARGED, closed=False) is None


def test_the_reasons_come_in_this_order() -> None:
    assert [rule.reason for rule in REJECTIONS] == [
        "PROCESSING_FAILED",
        "UNKNOWN_ORG",
        "UNKNOWN_SKU",
        "NO_ENTITLEMENT",
        "NO_ENTITLEMENT",
        "PROCESSING_FAILED",
        "PERIOD_CLOSED",
    ]


@pytest.mark.parametrize("number", range(len(REJECTIONS)))
def test_each_reason_is_one_for_a_segment_that_has_only_it_against_it(number: int) -> None:
    segment, closed = ONE_EACH[number]
    rejection = rejection_of(segment, closed)
    assert rejection is not None
    assert rejection.reason is REJECTIONS[number].reason
    assert rejection.detail.endswith(".")
    assert rejection.detail == REJECTIONS[number].detail(segment)


@pytest.mark.parametrize("number", range(len(REJECTIONS)))
def test_of_several_reasons_the_first_counts(number: int) -> None:
    everything = Segment(0, 1, "", False, None, RejectionReason.UNKNOWN_SKU)
    known = [
        everything,
        replace(everything, period="2013-01"),
        replace(everything, period="2013-01", org_known=True),
        replace(everything, period="2013-01", org_known=True, outcome=RejectionReason.NO_ENTITLEMENT),
        replace(everything, period="2013-01", org_known=True, outcome=TERMS),
        replace(everything, period="2013-01", org_known=True, outcome=TERMS, account=YEN),
        CHARGED,
    ][number]
    rejection = rejection_of(known, closed=True)
    assert rejection is not None
    assert (rejection.reason, rejection.detail) == (REJECTIONS[number].reason, REJECTIONS[number].detail(known))


def test_a_charge_models_rejections_have_the_dead_letters_reasons() -> None:
    assert CORRECTION_BELOW_ZERO.reason == "CORRECTION_BELOW_ZERO"
    assert AMOUNT_OUT_OF_RANGE.reason == "PROCESSING_FAILED"
