"""The order of an account's invoices: which lines one holds, what it replaces, and when it may be final (spec 05).

A line belongs to its billing period: that of its event, or the later one that it was put into because its own was
closed when it came. An invoice holds every line of its account below its watermark that is billed in its period or an
earlier one and is on no final invoice yet; and none of an earlier period that has no final invoice of its own: with
such lines the period is refused. So all lines below a final invoice's watermark that are billed in its period or before
are on final invoices, and those alone need to be left out afterwards. Invoices that were drawn before lines had billing
periods hold just these lines, too.

Where these take an account's invoices, they take those that are not void.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from apportion_common.periods import Period

from apportion_orgs.domain.billing_accounts import BillingAccount
from apportion_orgs.domain.invoices import DRAFT, DrawnInvoice, HeldLines, InvoiceBasis, InvoiceHead
from apportion_orgs.domain.invoicing import LineSum
from apportion_orgs.domain.mappings import MappingRow, orgs_mapped_within
from apportion_orgs.errors import (
    earlier_period_open_lines,
    invoice_not_draft,
    nothing_to_invoice,
    period_invoiced,
    period_open,
    period_reopening,
)


def basis_of(account: BillingAccount, period: Period, invoices: Sequence[InvoiceHead]) -> InvoiceBasis:
    """Return what the invoice of a period is drawn on, beside the account's invoices.

    A period that has no final invoice may get one whatever is final after it: lines that appear in it then are on no
    other. Raises FailedPrecondition PERIOD_INVOICED for one that has a final invoice, when a later one has, too.
    """
    final = [head for head in invoices if head.state != DRAFT]
    invoiced = frozenset(head.period for head in final)
    if period.key in invoiced and max(invoiced) > period.key:
        raise period_invoiced(period.key, max(invoiced))
    last = max(final, key=lambda head: (head.watermark, head.period), default=None)
    return InvoiceBasis(account, period, None if last is None else last.invoice_id, held_lines(final), invoiced)


def held_lines(final: Sequence[InvoiceHead]) -> tuple[HeldLines, ...]:
    """Return what final invoices hold, latest period first, without what others of them hold as well."""
    held: list[HeldLines] = []
    for head in sorted(final, key=lambda head: (head.period, head.watermark), reverse=True):
        if not held or head.watermark > held[-1].watermark:
            held.append(HeldLines(head.period, head.watermark))
    return tuple(held)


def check_earlier_periods(basis: InvoiceBasis, sums: Sequence[LineSum]) -> None:
    """Raise FailedPrecondition EARLIER_PERIOD_OPEN_LINES when lines are billed in an earlier period without invoice."""
    periods = {line.billing_period for line in sums} - basis.invoiced
    earliest = min(periods, default=basis.period.key)
    if earliest < basis.period.key:
        raise earlier_period_open_lines(basis.period.key, earliest)


def orgs_billed_in(basis: InvoiceBasis, sums: Sequence[LineSum]) -> frozenset[bytes]:
    """Return the orgs with lines that are billed in the period itself."""
    return frozenset(line.org_id for line in sums if line.billing_period == basis.period.key)


def draft_to_replace(drawn: DrawnInvoice, invoices: Sequence[InvoiceHead]) -> InvoiceHead | None:
    """Return the draft in whose place a drawing comes; None for a new one.

    Raises FailedPrecondition NOTHING_TO_INVOICE when there is no line for it.
    """
    if not drawn.content.lines:
        raise nothing_to_invoice(drawn.basis.period.key)
    of_period = [head for head in invoices if head.period == drawn.basis.period.key]
    return next((head for head in of_period if head.state == DRAFT), None)


def draft_to_finalize(invoice_id: UUID, invoices: Sequence[InvoiceHead]) -> InvoiceHead:
    """Return the draft with the id. Raises FailedPrecondition INVOICE_NOT_DRAFT."""
    draft = next((head for head in invoices if head.invoice_id == invoice_id), None)
    if draft is None or draft.state != DRAFT:
        raise invoice_not_draft("void" if draft is None else draft.state)
    return draft


def check_final(drawn: DrawnInvoice, rows: Sequence[MappingRow], reopenings: Mapping[bytes, int]) -> None:
    """Raise FailedPrecondition unless a drawing may become final.

    NOTHING_TO_INVOICE when there is no line left for it; PERIOD_OPEN unless every org of the account has closed the
    period: those with lines that are billed in it, and those that are on the account at some instant of it. A reopening
    that was asked for and that the ledger does not have yet counts as open: it may open the period at any instant.
    `reopenings` are the numbers of the last ones, by org; `rows` has every mapping row of the orgs that are ever on the
    account.
    """
    period, account = drawn.basis.period, drawn.basis.account
    if not drawn.content.lines:
        raise nothing_to_invoice(period.key)
    orgs = orgs_mapped_within(rows, account.account_id.bytes, period.start_us, period.end_us) | drawn.org_ids
    if any(not drawn.watermark.has_seen(org, reopenings[org]) for org in orgs if org in reopenings):
        raise period_reopening(period.key)
    if not all(map(drawn.watermark.is_closed, orgs)) or not (orgs or drawn.watermark.period_closed):
        raise period_open(period.key)
