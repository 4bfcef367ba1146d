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
    check_orgs_closed,
    draft_to_finalize,
    draft_to_replace,
    preceding_invoice,
)
from apportion_orgs.domain.invoices import DrawnInvoice, InvoiceHead, Watermark
from apportion_orgs.domain.invoicing import LineSum, draw_invoice
from apportion_orgs.domain.mappings import MappingRow
from hypothesis import given
from hypothesis import strategies as st

ACCOUNT = BillingAccount(UUID(int=1), UUID(int=2), "group", "AUD")
A, B = (bytes([n]) * 16 for n in (3, 4))
PERIODS = [f"2013-{month:02d}" for month in range(1, 7)]
MAPPED = MappingRow(b"", A, ACCOUNT.account_id.bytes, Allocation.ABSORB, None, 0, 1)


def head(number: int, period: str, state: str = "final", watermark: int = 0) -> InvoiceHead:
    end_us = parse_period(period).end_us
    now = datetime(2013, 7, 1, tzinfo=UTC)
    return InvoiceHead(
        UUID(int=number), ACCOUNT.account_id, period, state, "", "AUD", 0, 0, 0, watermark or number, end_us, now, None
    )


def drawn(period: str, *orgs: bytes, closed: frozenset[bytes] = frozenset()) -> DrawnInvoice:
    basis = basis_of(ACCOUNT, parse_period(period), (), 1)
    lines = [LineSum(org, None, "OBJ-KM", "usage", "AUD", None, False, 1, 10**9, 10**9, 0) for org in orgs]
    mapped = [MappingRow(b"", org, ACCOUNT.account_id.bytes, Allocation.ABSORB, None, 0, 1) for org in orgs]
    content = draw_invoice(
        ACCOUNT.owner_org_id.bytes, ACCOUNT.account_id.bytes, "AUD", basis.period.end_us, mapped, lines
    )
    return DrawnInvoice(basis, Watermark(100, False, closed), content)


def test_the_first_invoice_follows_on_nothing() -> None:
    basis = basis_of(ACCOUNT, parse_period("2013-01"), (), 7)
    assert (basis.previous_id, basis.previous_watermark, basis.previous_until_us, basis.last_declared) == (
        None,
        0,
        0,
        7,
    )


def test_an_invoice_follows_on_the_last_final_one() -> None:
    invoices = [head(1, "2013-01"), head(2, "2013-01"), head(3, "2013-03", "draft")]
    basis = basis_of(ACCOUNT, parse_period("2013-02"), invoices, 0)
    assert (basis.previous_id, basis.previous_watermark) == (UUID(int=2), 2)
    assert basis.previous_until_us == parse_period("2013-01").end_us


def test_an_earlier_draft_shapes_the_preview_but_is_not_named() -> None:
    invoices = [head(1, "2013-01"), head(2, "2013-02", "draft")]
    basis = basis_of(ACCOUNT, parse_period("2013-03"), invoices, 0)
    assert (basis.previous_id, basis.previous_watermark) == (None, 2)


@given(st.lists(st.tuples(st.sampled_from(PERIODS), st.sampled_from(["draft", "final", "paid"]))), st.data())
def test_no_invoice_follows_on_a_later_one(states: list[tuple[str, str]], data: st.DataObject) -> None:
    invoices = [head(number, period, state) for number, (period, state) in enumerate(sorted(states), start=1)]
    period = data.draw(st.sampled_from(PERIODS))
    if any(one.period > period for one in invoices if one.state != "draft"):
        with pytest.raises(FailedPrecondition) as rejected:
            preceding_invoice(parse_period(period), invoices)
        assert rejected.value.reason == "PERIOD_INVOICED"
        return
    previous = preceding_invoice(parse_period(period), invoices)
    before = [one for one in invoices if one.period < period or (one.period == period and one.state != "draft")]
    assert (previous is None) == (not before)
    if previous is not None:
        assert previous.period == max(one.period for one in before)


def test_a_drawing_replaces_the_draft_of_its_period() -> None:
    invoices = [head(1, "2013-01"), head(2, "2013-02", "draft")]
    assert draft_to_replace(drawn("2013-02", A), invoices) == invoices[1]
    assert draft_to_replace(drawn("2013-01", A), invoices) is None
    with pytest.raises(FailedPrecondition) as rejected:
        draft_to_replace(drawn("2013-01"), invoices)
    assert rejected.value.reason == "NOTHING_TO_INVOICE"


def test_drafts_are_finalised_in_the_order_of_their_periods() -> None:
    invoices = [head(1, "2013-01"), head(2, "2013-02", "draft"), head(3, "2013-03", "draft")]
    assert draft_to_finalize(UUID(int=2), invoices) == invoices[1]
    for number, reason in ((1, "INVOICE_NOT_DRAFT"), (3, "EARLIER_DRAFT"), (4, "INVOICE_NOT_DRAFT")):
        with pytest.raises(FailedPrecondition) as rejected:
            draft_to_finalize(UUID(int=number), invoices)
        assert rejected.value.reason == reason


@pytest.mark.parametrize(
    ("billed", "mapped", "closed", "is_open"),
    [
        ([A], [MAPPED], {A}, False),
        ([A, B], [MAPPED], {A}, True),
        ([], [MAPPED], {A}, False),
        ([], [MAPPED], {B}, True),
        ([], [], {A}, True),
    ],
)
def test_every_org_that_is_billed_or_mapped_has_to_have_closed(
    billed: list[bytes], mapped: list[MappingRow], closed: set[bytes], is_open: bool
) -> None:
    invoice = drawn("2013-01", *billed, closed=frozenset(closed))
    if is_open:
        with pytest.raises(FailedPrecondition) as rejected:
            check_orgs_closed(invoice, mapped)
        assert rejected.value.reason == "PERIOD_OPEN"
    else:
        check_orgs_closed(invoice, mapped)
