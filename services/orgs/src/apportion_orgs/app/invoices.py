"""Drawing and finalising invoices.

An invoice is drawn from what the ledger has of its account, up to a watermark and before the period's end, and not on the
account's invoice before. That happens outside any transaction of ours: a use case that is given no drawing, or one from
another basis, raises `DrawingNeeded`, and `Invoices.with_drawing` draws and runs it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

from apportion_common.db.actor import current_actor
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.ids import uuid7
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_orgs import errors
from apportion_orgs.app.messages import invoice_head_message
from apportion_orgs.app.ports import (
    AccountRecord,
    AccountStore,
    DrawnInvoice,
    InvoiceBasis,
    InvoiceHead,
    InvoiceRecord,
    InvoiceStore,
    LedgerPort,
    MappingStore,
)
from apportion_orgs.domain.invoicing import draw_invoice
from apportion_orgs.domain.mappings import orgs_mapped_within
from apportion_orgs.domain.periods import Period, parse_period
from apportion_orgs.limits import INVOICE_LINES_MAX, INVOICE_ROUNDS_MAX

T = TypeVar("T")

DRAFT = "draft"


class DrawingNeeded(Exception):
    """An invoice has to be drawn on this basis before the work can be done."""

    def __init__(self, basis: InvoiceBasis) -> None:
        super().__init__()
        self.basis = basis


class Invoices:
    """The invoices of billing accounts."""

    def __init__(
        self,
        database: Database,
        accounts: AccountStore,
        mappings: MappingStore,
        invoices: InvoiceStore,
        ledger: LedgerPort,
    ) -> None:
        """Work on these stores, with what this ledger says."""
        self._database = database
        self._accounts = accounts
        self._mappings = mappings
        self._invoices = invoices
        self._ledger = ledger

    async def with_drawing(self, work: Callable[[DrawnInvoice | None], Awaitable[T]]) -> T:
        """Run `work`, which changes nothing when it raises DrawingNeeded, until it was given what it needs.

        A repeated mutation is answered before the ledger is asked. Raises Unavailable INVOICE_BUSY when the account's
        other invoices or mappings changed again and again, and what the ledger and the drawing raise.
        """
        drawn: DrawnInvoice | None = None
        for _ in range(INVOICE_ROUNDS_MAX):
            try:
                return await work(drawn)
            except DrawingNeeded as needed:
                drawn = await self._draw(needed.basis)
        raise errors.invoice_busy()

    async def generate(
        self, tx: Transaction, account_id: UUID, period_key: str, drawn: DrawnInvoice | None
    ) -> InvoiceRecord:
        """Draft the invoice of an account and period, or draw its draft up afresh.

        Raises NotFound BILLING_ACCOUNT_NOT_FOUND, FailedPrecondition PERIOD_INVOICED, NOTHING_TO_INVOICE,
        CURRENCY_MISMATCH or INVOICE_TOO_LARGE, OutOfRange TIME_OUT_OF_RANGE.
        """
        period = parse_period(period_key)
        account = await self._lock(tx, account_id)
        others = await self._invoices.of_account(tx.connection, account_id)
        drawn = _fitting(drawn, await self._basis(tx.connection, account, period, others))
        if not drawn.content.lines and any(head.period == period.key and head.state != DRAFT for head in others):
            raise errors.nothing_to_invoice(period.key)
        draft = next((head for head in others if head.period == period.key and head.state == DRAFT), None)
        invoice_id = uuid7() if draft is None else draft.invoice_id
        await self._invoices.write_draft(tx, invoice_id, drawn, is_new=draft is None)
        invoice = await self._load(tx.connection, invoice_id)
        await tx.audit(
            "invoice.generate",
            f"invoice/{invoice_id}",
            org_id=account.owner_org_id,
            before=None if draft is None else invoice_head_message(draft),
            after=invoice_head_message(invoice.head),
        )
        return invoice

    async def finalize(self, tx: Transaction, invoice_id: UUID, drawn: DrawnInvoice | None) -> InvoiceRecord:
        """Draw a draft up at a fresh horizon, number it, and fix it for good.

        Raises NotFound INVOICE_NOT_FOUND, FailedPrecondition INVOICE_NOT_DRAFT, PERIOD_OPEN, EARLIER_DRAFT,
        PERIOD_INVOICED, CURRENCY_MISMATCH or INVOICE_TOO_LARGE.
        """
        found = await self._invoices.head(tx.connection, invoice_id)
        if found is None:
            raise errors.invoice_not_found()
        account = await self._lock(tx, found.account_id)
        others = await self._invoices.of_account(tx.connection, found.account_id)
        draft = next((head for head in others if head.invoice_id == invoice_id), None)
        if draft is None or draft.state != DRAFT:
            raise errors.invoice_not_draft("void" if draft is None else draft.state)
        earlier = [head.period for head in others if head.state == DRAFT and head.period < draft.period]
        if earlier:
            raise errors.earlier_draft(min(earlier))
        period = parse_period(draft.period)
        drawn = _fitting(drawn, await self._basis(tx.connection, account, period, others))
        await self._require_closed(tx.connection, drawn)
        await self._invoices.write_draft(tx, invoice_id, drawn, is_new=False)
        await self._invoices.finalize(tx, invoice_id, account.account_id, current_actor(tx.service).subject)
        invoice = await self._load(tx.connection, invoice_id)
        message = invoice_head_message(invoice.head)
        await tx.audit(
            "invoice.finalize",
            f"invoice/{invoice_id}",
            org_id=account.owner_org_id,
            before=invoice_head_message(draft),
            after=message,
        )
        # Without its lines, of which an invoice may have more than a message may hold: GetInvoice gives them.
        await tx.publish("orgs.invoice.finalized", message, org_id=account.owner_org_id)
        return invoice

    async def get(self, connection: AsyncConnection, invoice_id: UUID) -> InvoiceRecord:
        """An invoice with what is on it. Raises NotFound INVOICE_NOT_FOUND."""
        return await self._load(connection, invoice_id)

    async def page(
        self, connection: AsyncConnection, account_id: UUID | None, period: str, after: UUID | None, most: int
    ) -> Sequence[InvoiceHead]:
        """Invoices of an account, a period or both, oldest first, without what is on them."""
        return await self._invoices.page(connection, account_id, period, after, most)

    async def _draw(self, basis: InvoiceBasis) -> DrawnInvoice:
        """What the ledger says for a basis, at a watermark that is fixed now, and the invoice that it comes to."""
        account = basis.account
        watermark = await self._ledger.fix_watermark(basis.period.key)
        sums = await self._ledger.summarize_lines(
            account.account_id,
            watermark.watermark,
            basis.period.end_us,
            basis.previous_watermark,
            basis.previous_until_us,
        )
        async with self._database.read() as connection:
            mappings = await self._mappings.of_account(connection, account.account_id)
        # Beside the event loop: pricing waits for its answers while a large invoice is drawn.
        content = await asyncio.to_thread(
            draw_invoice,
            account.owner_org_id.bytes,
            account.account_id.bytes,
            account.currency,
            basis.period.end_us,
            [mapping.row() for mapping in mappings if mapping.declared_order <= basis.last_declared],
            sums,
        )
        if len(content.lines) > INVOICE_LINES_MAX:
            raise errors.invoice_too_large()
        return DrawnInvoice(basis, watermark, content)

    async def _lock(self, tx: Transaction, account_id: UUID) -> AccountRecord:
        """Hold the account: its invoices are written one after the other."""
        account = await self._accounts.lock(tx, account_id)
        if account is None:
            raise errors.billing_account_not_found()
        return account

    async def _require_closed(self, connection: AsyncConnection, drawn: DrawnInvoice) -> None:
        """Every org that is on the account within the period has it closed, up to the watermark."""
        if drawn.watermark.period_closed:
            return
        period, account = drawn.basis.period, drawn.basis.account
        mappings = await self._mappings.of_account_orgs(connection, account.account_id)
        rows = [mapping.row() for mapping in mappings]
        mapped = orgs_mapped_within(rows, account.account_id.bytes, period.start_us, period.end_us)
        billed = {part.usage.org_id for part in drawn.content.allocation.parts}
        if not mapped | billed or not (mapped | billed) <= drawn.watermark.closed_org_ids:
            raise errors.period_open(period.key)

    async def _basis(
        self, connection: AsyncConnection, account: AccountRecord, period: Period, others: Sequence[InvoiceHead]
    ) -> InvoiceBasis:
        """What the invoice of a period is drawn on now. Raises FailedPrecondition PERIOD_INVOICED."""
        last_declared = await self._mappings.last_declared(connection, account.account_id)
        previous = _previous(period, others)
        if previous is None:
            return InvoiceBasis(account, period, None, 0, 0, last_declared)
        previous_id = None if previous.state == DRAFT else previous.invoice_id
        return InvoiceBasis(account, period, previous_id, previous.watermark, previous.until_us, last_declared)

    async def _load(self, connection: AsyncConnection, invoice_id: UUID) -> InvoiceRecord:
        invoice = await self._invoices.load(connection, invoice_id)
        if invoice is None:
            raise errors.invoice_not_found()
        return invoice


def _previous(period: Period, others: Sequence[InvoiceHead]) -> InvoiceHead | None:
    """What the invoice of a period follows on: the last final invoice, or the draft of an earlier period after it.

    Invoices of an account follow one another in time, so that what all earlier ones hold is what the last one ends
    with: everything below its horizon and before its end. So there is none for a period before the last final one.
    A draft before this one only shapes the preview: this one cannot be finalised before it.
    """
    final = [head for head in others if head.state != DRAFT]
    last = max(final, key=lambda head: (head.period, head.watermark), default=None)
    if last is not None and last.period > period.key:
        raise errors.period_invoiced(last.period)
    before = [head for head in others if head.state == DRAFT and head.period < period.key]
    if last is not None:
        before = [head for head in before if head.period > last.period] + [last]
    return max(before, key=lambda head: head.period, default=None)


def _fitting(drawn: DrawnInvoice | None, basis: InvoiceBasis) -> DrawnInvoice:
    """What was drawn, if it was on this basis."""
    if drawn is None or drawn.basis != basis:
        raise DrawingNeeded(basis)
    return drawn
