"""Drafting, finalising and reading the invoices of billing accounts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar
from uuid import UUID

from apportion_common.db.actor import current_actor
from apportion_common.db.idempotency import Mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.ids import uuid7
from apportion_common.periods import parse_period
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_orgs import errors
from apportion_orgs.app.events import invoice_head_to_message
from apportion_orgs.app.invoice_drawings import InvoiceDrawings, fitting
from apportion_orgs.domain.billing_accounts import BillingAccount
from apportion_orgs.domain.invoice_order import basis_of, check_final, draft_to_finalize, draft_to_replace
from apportion_orgs.domain.invoices import (
    DrawnInvoice,
    Invoice,
    InvoiceDocument,
    InvoiceHead,
    InvoiceLine,
    InvoicePart,
)
from apportion_orgs.store.billing_accounts import BillingAccountStore
from apportion_orgs.store.invoices import InvoiceStore
from apportion_orgs.store.mappings import MappingStore
from apportion_orgs.store.period_reopenings import PeriodReopeningStore

Answer = TypeVar("Answer", bound=Message)


class LockedAccount(NamedTuple):
    """A billing account whose invoices nobody else writes until the transaction ends, and those that are not void."""

    account: BillingAccount
    invoices: Sequence[InvoiceHead]


class Invoices:
    """The invoices of billing accounts."""

    def __init__(
        self,
        database: Database,
        accounts: BillingAccountStore,
        mappings: MappingStore,
        invoices: InvoiceStore,
        drawings: InvoiceDrawings,
        reopenings: PeriodReopeningStore,
    ) -> None:
        """Work on these stores, with what is drawn from the ledger."""
        self._database = database
        self._accounts = accounts
        self._mappings = mappings
        self._invoices = invoices
        self._drawings = drawings
        self._reopenings = reopenings

    async def generate(self, mutation: Mutation[Invoice, Answer], account_id: UUID, period_key: str) -> Answer:
        """Draft the invoice of an account and period, or draw its draft again.

        Raises NotFound BILLING_ACCOUNT_NOT_FOUND, FailedPrecondition EARLIER_PERIOD_OPEN_LINES, PERIOD_INVOICED,
        NOTHING_TO_INVOICE, CURRENCY_MISMATCH, MAPPING_MISSING or INVOICE_TOO_LARGE, OutOfRange TIME_OUT_OF_RANGE,
        Unavailable INVOICE_BUSY.
        """

        async def work(drawn: DrawnInvoice | None, tx: Transaction) -> Invoice:
            period = parse_period(period_key)
            locked = await self._lock(tx, account_id)
            drawn = fitting(drawn, basis_of(locked.account, period, locked.invoices))
            draft = draft_to_replace(drawn, locked.invoices)
            invoice_id = uuid7() if draft is None else draft.invoice_id
            await self._invoices.write_draft(tx, invoice_id, drawn, is_new=draft is None)
            invoice = await self._load(tx.connection, invoice_id)
            await tx.audit(
                "invoice.generate",
                f"invoice/{invoice_id}",
                org_id=locked.account.owner_org_id,
                before=None if draft is None else invoice_head_to_message(draft),
                after=invoice_head_to_message(invoice.head),
            )
            return invoice

        return await self._drawings.run_mutation(mutation, work)

    async def finalize(self, mutation: Mutation[Invoice, Answer], invoice_id: UUID) -> Answer:
        """Draw a draft at a new watermark, number it, and make it final.

        Raises NotFound INVOICE_NOT_FOUND, FailedPrecondition INVOICE_NOT_DRAFT, PERIOD_OPEN,
        EARLIER_PERIOD_OPEN_LINES, PERIOD_INVOICED, NOTHING_TO_INVOICE, CURRENCY_MISMATCH, MAPPING_MISSING or
        INVOICE_TOO_LARGE, Unavailable INVOICE_BUSY.
        """

        async def work(drawn: DrawnInvoice | None, tx: Transaction) -> Invoice:
            found = await self._head(tx.connection, invoice_id)
            locked = await self._lock(tx, found.account_id)
            account, draft = locked.account, draft_to_finalize(invoice_id, locked.invoices)
            drawn = fitting(drawn, basis_of(account, parse_period(draft.period), locked.invoices))
            mappings = await self._mappings.of_account_orgs(tx.connection, account.account_id)
            # The account is locked, and whoever reopens the period locks it too: what is not registered by now is
            # refused.
            reopenings = await self._reopenings.last(tx.connection, draft.period)
            check_final(drawn, [mapping.row() for mapping in mappings], reopenings)
            await self._invoices.write_draft(tx, invoice_id, drawn, is_new=False)
            await self._invoices.finalize(tx, invoice_id, account.account_id, current_actor(tx.service).subject)
            invoice = await self._load(tx.connection, invoice_id)
            before, after = invoice_head_to_message(draft), invoice_head_to_message(invoice.head)
            await tx.audit(
                "invoice.finalize", f"invoice/{invoice_id}", org_id=account.owner_org_id, before=before, after=after
            )
            await tx.publish("orgs.invoice.finalized", after, org_id=account.owner_org_id)
            return invoice

        return await self._drawings.run_mutation(mutation, work)

    async def get(self, invoice_id: UUID) -> Invoice:
        """Return an invoice with the first of what is on it. Raises NotFound INVOICE_NOT_FOUND."""
        async with self._database.read(snapshot=True) as connection:
            return await self._load(connection, invoice_id)

    async def parts(
        self, invoice_id: UUID, after: int, limit: int
    ) -> tuple[InvoiceHead, Sequence[tuple[int, InvoicePart]]]:
        """Return an invoice's head, and parts of it after a position, with their positions.

        Raises NotFound INVOICE_NOT_FOUND.
        """
        async with self._database.read(snapshot=True) as connection:
            head = await self._head(connection, invoice_id)
            return head, await self._invoices.parts(connection, head, after, limit)

    async def documents(
        self, invoice_id: UUID, after: int, limit: int
    ) -> tuple[InvoiceHead, Sequence[tuple[int, InvoiceDocument]]]:
        """Return an invoice's head, and documents of it after a position, with their positions.

        Raises NotFound INVOICE_NOT_FOUND.
        """
        async with self._database.read(snapshot=True) as connection:
            head = await self._head(connection, invoice_id)
            return head, await self._invoices.documents(connection, head, after, limit)

    async def lines(
        self, invoice_id: UUID, after: int, limit: int
    ) -> tuple[InvoiceHead, Sequence[tuple[int, InvoiceLine]]]:
        """Return an invoice's head, and lines of it after a position, with their positions.

        Raises NotFound INVOICE_NOT_FOUND.
        """
        async with self._database.read(snapshot=True) as connection:
            head = await self._head(connection, invoice_id)
            return head, await self._invoices.lines(connection, head, after, limit)

    async def page(self, account_id: UUID | None, period: str, after: UUID | None, limit: int) -> Sequence[InvoiceHead]:
        """Return invoices of an account, a period or both, oldest first, without what is on them.

        Raises NotFound BILLING_ACCOUNT_NOT_FOUND.
        """
        async with self._database.read(snapshot=True) as connection:
            if account_id is not None and await self._accounts.find(connection, account_id) is None:
                raise errors.billing_account_not_found()
            return await self._invoices.page(connection, account_id, period, after, limit)

    async def _lock(self, tx: Transaction, account_id: UUID) -> LockedAccount:
        """Lock the account: its invoices are written one after the other."""
        account = await self._accounts.lock(tx, account_id)
        if account is None:
            raise errors.billing_account_not_found()
        return LockedAccount(account, await self._invoices.of_account(tx.connection, account_id))

    async def _head(self, connection: AsyncConnection, invoice_id: UUID) -> InvoiceHead:
        head = await self._invoices.head(connection, invoice_id)
        if head is None:
            raise errors.invoice_not_found()
        return head

    async def _load(self, connection: AsyncConnection, invoice_id: UUID) -> Invoice:
        return await self._invoices.load(connection, await self._head(connection, invoice_id))
