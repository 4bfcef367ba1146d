"""The order of an account's invoices."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from apportion_common.errors import FailedPrecondition
from apportion_common.periods import parse_period
from apportion_orgs.domain.allocation import Allocation
from apportion_orgs.domain.billing_accounts import BillingAccount
from apportion_orgs.domain.invoice_order import (
    basis_of,
    check_earlier_periods,
    check_final,
    draft_to_finalize,
    draft_to_replace,
    held_lines,
    orgs_billed_in,
)
from apportion_orgs.domain.invoices import DrawnInvoice, HeldLines, InvoiceHead, Watermark
from apportion_orgs.domain.invoicing import LineSum, draw_invoice
from apportion_orgs.domain.mappings import MappingRow
from hypothesis import given
from hypothesis import strategies as st

ACCOUNT = BillingAccount(UUID(int=1), UUID(int=2), "group", "AUD")
A, B = (bytes([n]) * 16 for n in (3, 4))
PERIODS = [f"2013-{month:02d}" for month in range(1, 7)]
MAPPED = MappingRow(A, A, ACCOUNT.account_id.bytes, Allocation.ABSORB, None, 0, 1)


def head(number: int, period: str, state: str = "final", watermark: int = 0) -> InvoiceHead:
    end_us = parse_period(period).end_us
    now = datetime(2013, 7, 1, tzinfo=UTC)
    return InvoiceHead(
        UUID(int=number), ACCOUNT.account_id, period, state, "", "AUD", 0, 0, 0, watermark or number, end_us, now, None
    )


def line(org: bytes, period: str, billed_period: str = "") -> LineSum:
    return LineSum(org, None, "OBJ-KM", "usage", "AUD", None, False, org, period, billed_period, 1, 10**9, 10**9, 0)


def drawn(period: str, *orgs: bytes, closed: frozenset[bytes] = frozenset()) -> DrawnInvoice:
    basis = basis_of(ACCOUNT, parse_period(period), ())
    lines = [line(org, period) for org in orgs]
    mapped = [MappingRow(org, org, ACCOUNT.account_id.bytes, Allocation.ABSORB, None, 0, 1) for org in orgs]
    content = draw_invoice(ACCOUNT.owner_org_id.bytes, ACCOUNT.account_id.bytes, "AUD", mapped, lines)
    return DrawnInvoice(basis, Watermark(100, False, closed), content, orgs_billed_in(basis, lines))


def test_the_first_invoice_follows_on_nothing() -> None:
    basis = basis_of(ACCOUNT, parse_period("2013-01"), ())
    assert (basis.previous_id, basis.held, basis.invoiced) == (None, (), frozenset())


def test_an_invoice_follows_on_the_last_final_one_and_on_no_draft() -> None:
    invoices = [head(1, "2013-01"), head(2, "2013-01"), head(3, "2013-02", "draft"), head(4, "2013-03", "draft")]
    basis = basis_of(ACCOUNT, parse_period("2013-02"), invoices)
    assert (basis.previous_id, basis.held) == (UUID(int=2), (HeldLines("2013-01", 2),))
    assert basis.invoiced == {"2013-01"}


@given(st.lists(st.tuples(st.sampled_from(PERIODS), st.integers(1, 9)), max_size=8))
def test_what_invoices_hold_is_told_without_what_others_hold_too(finals: list[tuple[str, int]]) -> None:
    held = held_lines([head(number, period, "final", mark) for number, (period, mark) in enumerate(finals, start=1)])
    for period in PERIODS:
        for xid in range(10):
            assert any(period <= one.through_period and xid < one.watermark for one in held) == any(
                period <= through and xid < mark for through, mark in finals
            )
    assert [one.through_period for one in held] == sorted({one.through_period for one in held}, reverse=True)
    assert [one.watermark for one in held] == sorted({one.watermark for one in held})


@given(st.lists(st.tuples(st.sampled_from(PERIODS), st.sampled_from(["draft", "final", "paid"]))), st.data())
def test_an_invoiced_period_before_a_later_invoiced_one_is_drawn_no_more(
    states: list[tuple[str, str]], data: st.DataObject
) -> None:
    invoices = [head(number, period, state) for number, (period, state) in enumerate(states, start=1)]
    period = data.draw(st.sampled_from(PERIODS))
    final = {one.period for one in invoices if one.state != "draft"}
    if period in final and any(one > period for one in final):
        with pytest.raises(FailedPrecondition) as rejected:
            basis_of(ACCOUNT, parse_period(period), invoices)
        assert rejected.value.reason == "PERIOD_INVOICED"
    else:
        assert basis_of(ACCOUNT, parse_period(period), invoices).invoiced == final


def test_lines_of_an_earlier_period_without_a_final_invoice_stop_a_later_one() -> None:
    invoices = [head(1, "2013-01"), head(2, "2013-04")]
    basis = basis_of(ACCOUNT, parse_period("2013-05"), invoices)
    check_earlier_periods(basis, [line(A, "2013-01"), line(A, "2013-04"), line(A, "2013-02", "2013-05")])
    with pytest.raises(FailedPrecondition) as rejected:
        check_earlier_periods(basis, [line(A, "2013-05"), line(A, "2013-03"), line(A, "2013-01", "2013-02")])
    assert rejected.value.reason == "EARLIER_PERIOD_OPEN_LINES"
    assert rejected.value.metadata["earlier_period"] == "2013-02"


def test_a_drawing_replaces_the_draft_of_its_period() -> None:
    invoices = [head(1, "2013-01"), head(2, "2013-02", "draft")]
    assert draft_to_replace(drawn("2013-02", A), invoices) == invoices[1]
    assert draft_to_replace(drawn("2013-01", A), invoices) is None
    for period in ("2013-01", "2013-02", "2013-03"):
        with pytest.raises(FailedPrecondition) as rejected:
            draft_to_replace(drawn(period), invoices)
        assert rejected.value.reason == "NOTHING_TO_INVOICE"


def test_only_a_draft_is_finalised() -> None:
    invoices = [head(1, "2013-01"), head(2, "2013-02", "draft"), head(3, "2013-03", "draft")]
    assert draft_to_finalize(UUID(int=3), invoices) == invoices[2]
    for number in (1, 4):
        with pytest.raises(FailedPrecondition) as rejected:
            draft_to_finalize(UUID(int=number), invoices)
        assert rejected.value.reason == "INVOICE_NOT_DRAFT"


def test_an_invoice_without_lines_does_not_become_final() -> None:
    with pytest.raises(FailedPrecondition) as rejected:
        check_final(drawn("2013-01", closed=frozenset({A})), [MAPPED], {})
    assert rejected.value.reason == "NOTHING_TO_INVOICE"


def test_an_org_that_has_only_lines_of_earlier_periods_needs_not_have_closed_the_period() -> None:
    basis = basis_of(ACCOUNT, parse_period("2013-02"), [head(1, "2013-01")])
    assert orgs_billed_in(basis, [line(A, "2013-02"), line(B, "2013-01")]) == {A}
    assert orgs_billed_in(basis, [line(B, "2013-01", "2013-02")]) == {B}


@pytest.mark.parametrize(
    ("billed", "mapped", "closed", "is_open"),
    [
        ([A], [MAPPED], {A}, False),
        ([A, B], [MAPPED], {A}, True),
        ([A], [], {A}, False),
        ([A], [MAPPED], {B}, True),
        ([A], [], {B}, True),
    ],
)
def test_every_org_that_is_billed_or_mapped_has_to_have_closed(
    billed: list[bytes], mapped: list[MappingRow], closed: set[bytes], is_open: bool
) -> None:
    invoice = drawn("2013-01", *billed, closed=frozenset(closed))
    if is_open:
        with pytest.raises(FailedPrecondition) as rejected:
            check_final(invoice, mapped, {})
        assert rejected.value.reason == "PERIOD_OPEN"
    else:
        check_final(invoice, mapped, {})
