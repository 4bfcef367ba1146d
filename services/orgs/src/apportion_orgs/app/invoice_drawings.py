"""Drawing invoices from the ledger.

An invoice is drawn from what the ledger has of its account below a watermark, billed in its period or an earlier one,
and not on a final invoice. That happens outside any transaction of ours: work that is given no drawing, or one on
another basis, raises `DrawingNeeded`, and `InvoiceDrawings.run_mutation` draws and runs it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from google.protobuf.message import Message

from apportion_orgs import errors
from apportion_orgs.app.edges import LedgerClient
from apportion_orgs.domain.invoice_order import check_earlier_periods, orgs_billed_in
from apportion_orgs.domain.invoices import DrawnInvoice, Invoice, InvoiceBasis
from apportion_orgs.domain.invoicing import draw_invoice
from apportion_orgs.limits import INVOICE_ROUNDS_MAX
from apportion_orgs.store.mappings import MappingStore

Answer = TypeVar("Answer", bound=Message)


class DrawingNeeded(Exception):
    """An invoice has to be drawn on this basis before the work can be done."""

    def __init__(self, basis: InvoiceBasis) -> None:
        super().__init__()
        self.basis = basis


def fitting(drawn: DrawnInvoice | None, basis: InvoiceBasis) -> DrawnInvoice:
    """Return what was drawn, if it was on this basis. Raises DrawingNeeded."""
    if drawn is None or drawn.basis != basis:
        raise DrawingNeeded(basis)
    return drawn


class InvoiceDrawings:
    """Draws invoices for the work that needs them."""

    def __init__(self, database: Database, mappings: MappingStore, ledger: LedgerClient) -> None:
        """Draw from this ledger."""
        self._database = database
        self._mappings = mappings
        self._ledger = ledger

    async def run_mutation(
        self,
        mutation: Mutation[Invoice, Answer],
        work: Callable[[DrawnInvoice | None, Transaction], Awaitable[Invoice]],
    ) -> Answer:
        """Run a mutation, which changes nothing when it raises DrawingNeeded, until it was given what it needs.

        A repeated mutation is answered before the ledger is called. Raises Unavailable INVOICE_BUSY when the account's
        other invoices changed again and again, and what the ledger and the drawing raise.
        """
        drawn: DrawnInvoice | None = None
        for _ in range(INVOICE_ROUNDS_MAX):
            try:
                return await run_mutation(self._database, mutation, partial(work, drawn))
            except DrawingNeeded as needed:
                drawn = await self._draw(needed.basis)
        raise errors.invoice_busy()

    async def _draw(self, basis: InvoiceBasis) -> DrawnInvoice:
        """Return what the ledger says for a basis, at a watermark fixed now, and the invoice that it comes to."""
        account = basis.account
        watermark = await self._ledger.fix_watermark(basis.period.key)
        sums = await self._ledger.summarize_lines(account.account_id, watermark.watermark, basis.period.key, basis.held)
        check_earlier_periods(basis, sums)
        # Read after the lines: a mapping is there before anything is charged under it.
        async with self._database.read() as connection:
            mappings = await self._mappings.of_account(connection, account.account_id)
        # Beside the event loop: pricing waits for its answers while a large invoice is drawn.
        content = await asyncio.to_thread(
            draw_invoice,
            account.owner_org_id.bytes,
            account.account_id.bytes,
            account.currency,
            [mapping.row() for mapping in mappings],
            sums,
        )
        return DrawnInvoice(basis, watermark, content, orgs_billed_in(basis, sums))
