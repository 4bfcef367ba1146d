"""The order of an account's invoices: what one follows on, what it replaces, and when it may be final (spec 05).

Where these take an account's invoices, they take those that are not void.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from apportion_common.periods import Period

from apportion_orgs.domain.billing_accounts import BillingAccount
from apportion_orgs.domain.invoices import DRAFT, DrawnInvoice, InvoiceBasis, InvoiceHead
from apportion_orgs.domain.mappings import MappingRow, orgs_mapped_within
from apportion_orgs.errors import (
    earlier_draft,
    invoice_not_draft,
    nothing_to_invoice,
    period_invoiced,
    period_open,
    period_reopening,
)


def preceding_invoice(period: Period, invoices: Sequence[InvoiceHead]) -> InvoiceHead | None:
    """Return what the invoice of a period follows on: the last final one, or the draft of an earlier period after it.

    Invoices of an account follow one another in time, so that what all earlier ones hold is what the last one ends
    with: everything below its watermark and before its end. So there is none for a period before the last final one
    (FailedPrecondition PERIOD_INVOICED). A draft before this one only shapes the preview: this one cannot be finalised
    before it.
    """
    final = [head for head in invoices if head.state != DRAFT]
    last = max(final, key=lambda head: (head.period, head.watermark), default=None)
    if last is not None and last.period > period.key:
        raise period_invoiced(last.period)
    before = [head for head in invoices if head.state == DRAFT and head.period < period.key]
    if last is not None:
        before = [head for head in before if head.period > last.period] + [last]
    return max(before, key=lambda head: head.period, default=None)


def basis_of(
    account: BillingAccount, period: Period, invoices: Sequence[InvoiceHead], last_declared: int
) -> InvoiceBasis:
    """Return what the invoice of a period is drawn on, beside the account's invoices.

    Raises FailedPrecondition PERIOD_INVOICED.
    """
    previous = preceding_invoice(period, invoices)
    if previous is None:
        return InvoiceBasis(account, period, None, 0, 0, last_declared)
    previous_id = None if previous.state == DRAFT else previous.invoice_id
    return InvoiceBasis(account, period, previous_id, previous.watermark, previous.until_us, last_declared)


def draft_to_replace(drawn: DrawnInvoice, invoices: Sequence[InvoiceHead]) -> InvoiceHead | None:
    """Return the draft in whose place a drawing comes; None for a new one.

    Raises FailedPrecondition NOTHING_TO_INVOICE when the period is invoiced and nothing has come since.
    """
    of_period = [head for head in invoices if head.period == drawn.basis.period.key]
    if not drawn.content.lines and any(head.state != DRAFT for head in of_period):
        raise nothing_to_invoice(drawn.basis.period.key)
    return next((head for head in of_period if head.state == DRAFT), None)


def draft_to_finalize(invoice_id: UUID, invoices: Sequence[InvoiceHead]) -> InvoiceHead:
    """Return the draft with the id. Raises FailedPrecondition INVOICE_NOT_DRAFT, EARLIER_DRAFT."""
    draft = next((head for head in invoices if head.invoice_id == invoice_id), None)
    if draft is None or draft.state != DRAFT:
        raise invoice_not_draft("void" if draft is None else draft.state)
    earlier = [head.period for head in invoices if head.state == DRAFT and head.period < draft.period]
    if earlier:
        raise earlier_draft(min(earlier))
    return draft


def check_orgs_closed(drawn: DrawnInvoice, rows: Sequence[MappingRow], reopenings: Mapping[bytes, int]) -> None:
    """Raise FailedPrecondition PERIOD_OPEN unless every org of the account has the period closed.

    `reopenings` are the numbers of the last reopenings that were asked for, by org: one that the ledger does not have
    yet may open the period at any instant. The orgs are those that are billed, and those that are on the account
    at some instant of the period; `rows` has every mapping row of the orgs that are ever on it.
    """
    period, account = drawn.basis.period, drawn.basis.account
    orgs = orgs_mapped_within(rows, account.account_id.bytes, period.start_us, period.end_us)
    orgs |= {part.usage.org_id for part in drawn.content.allocation.parts}
    if any(not drawn.watermark.has_seen(org, reopenings[org]) for org in orgs if org in reopenings):
        raise period_reopening(period.key)
    if not all(map(drawn.watermark.is_closed, orgs)) or not (orgs or drawn.watermark.period_closed):
        raise period_open(period.key)
