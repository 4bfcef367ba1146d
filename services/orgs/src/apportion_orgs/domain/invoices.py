"""Invoices as use cases and stores pass them, and what one invoice of an account follows on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from apportion_common.periods import Period

from apportion_orgs import errors
from apportion_orgs.domain.allocation import Allocation
from apportion_orgs.domain.billing_accounts import BillingAccount
from apportion_orgs.domain.invoicing import InvoiceContent
from apportion_orgs.domain.mappings import MappingRow, orgs_mapped_within

DRAFT: Final = "draft"


@dataclass(frozen=True, slots=True)
class InvoiceHead:
    """An invoice without what is on it; amounts are scaled by 9 places."""

    invoice_id: UUID
    account_id: UUID
    period: str
    state: str
    number: str
    currency: str
    ledger_total: int
    total: int
    rounding_difference: int
    watermark: int
    until_us: int
    created_at: datetime
    finalized_at: datetime | None


@dataclass(frozen=True, slots=True)
class InvoicePart:
    """An org's part of an invoice."""

    org_id: UUID
    ledger_total: int
    part: int
    allocation: Allocation
    percent: int | None
    owner_pays: int
    org_pays: int


@dataclass(frozen=True, slots=True)
class InvoiceDocument:
    """What a payer gets, or an org's copy."""

    document_id: UUID
    org_id: UUID
    payable: bool
    total: int
    number: str


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """A subtotal and what is shown for it."""

    org_id: UUID
    sku: str
    project_id: UUID | None
    kind: str
    quantity: int
    gross: int
    partner_id: UUID | None
    partner_amount: int
    partner_from_account: bool
    line_count: int
    amount: int


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice with what is on it."""

    head: InvoiceHead
    parts: Sequence[InvoicePart]
    documents: Sequence[InvoiceDocument]
    lines: Sequence[InvoiceLine]


@dataclass(frozen=True, slots=True)
class Watermark:
    """A point in the ledger below which nothing can appear any more."""

    watermark: int
    period_closed: bool
    closed_org_ids: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class InvoiceBasis:
    """What an invoice of an account and period follows on: it is drawn from the ledger under this, or drawn again."""

    account: BillingAccount
    period: Period
    previous_id: UUID | None
    previous_watermark: int
    previous_until_us: int
    last_declared: int
    """The account's last mapping that counts."""


@dataclass(frozen=True, slots=True)
class DrawnInvoice:
    """What the ledger said for a basis, and the invoice that it comes to."""

    basis: InvoiceBasis
    watermark: Watermark
    content: InvoiceContent


def preceding_invoice(period: Period, others: Sequence[InvoiceHead]) -> InvoiceHead | None:
    """Return what the invoice of a period follows on: the last final one, or the draft of an earlier period after it.

    Invoices of an account follow one another in time, so that what all earlier ones hold is what the last one ends
    with: everything below its watermark and before its end. So there is none for a period before the last final one
    (FailedPrecondition PERIOD_INVOICED). A draft before this one only shapes the preview: this one cannot be finalised
    before it.
    """
    final = [head for head in others if head.state != DRAFT]
    last = max(final, key=lambda head: (head.period, head.watermark), default=None)
    if last is not None and last.period > period.key:
        raise errors.period_invoiced(last.period)
    before = [head for head in others if head.state == DRAFT and head.period < period.key]
    if last is not None:
        before = [head for head in before if head.period > last.period] + [last]
    return max(before, key=lambda head: head.period, default=None)


def basis_of(
    account: BillingAccount, period: Period, others: Sequence[InvoiceHead], last_declared: int
) -> InvoiceBasis:
    """Return what the invoice of a period is drawn on, beside the account's other invoices that are not void.

    Raises FailedPrecondition PERIOD_INVOICED.
    """
    previous = preceding_invoice(period, others)
    if previous is None:
        return InvoiceBasis(account, period, None, 0, 0, last_declared)
    previous_id = None if previous.state == DRAFT else previous.invoice_id
    return InvoiceBasis(account, period, previous_id, previous.watermark, previous.until_us, last_declared)


def check_orgs_closed(drawn: DrawnInvoice, rows: Sequence[MappingRow]) -> None:
    """Raise FailedPrecondition PERIOD_OPEN unless every org of the account has closed the period by itself.

    These are the orgs that are billed, and those that are on the account at some instant of the period; `rows` has
    every mapping row of the orgs that are ever on it.
    """
    period, account = drawn.basis.period, drawn.basis.account
    orgs = orgs_mapped_within(rows, account.account_id.bytes, period.start_us, period.end_us)
    orgs |= {part.usage.org_id for part in drawn.content.allocation.parts}
    if not orgs or not orgs <= drawn.watermark.closed_org_ids:
        raise errors.period_open(period.key)
