"""invoice and what hangs on it: parts, documents, lines, numbers, rounding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final
from uuid import UUID, uuid5

from apportion_common.db.actor import current_actor
from apportion_common.db.copy import (
    NULL,
    BinaryCopy,
    pack_bool,
    pack_int4,
    pack_int8,
    pack_numeric,
    pack_text,
    pack_uuid,
)
from apportion_common.db.scaled import amount_of_scaled, scaled_of_amount, scaled_of_percent
from apportion_common.db.unit_of_work import Transaction
from apportion_common.decimals import AMOUNT_PLACES, PERCENT_PLACES
from apportion_common.instants import datetime_of_us, us_of_datetime
from sqlalchemy import Row, Select, Table, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_orgs.domain.allocation import Allocation
from apportion_orgs.domain.invoices import (
    DRAFT,
    DrawnInvoice,
    Invoice,
    InvoiceDocument,
    InvoiceHead,
    InvoiceLine,
    InvoicePart,
)
from apportion_orgs.domain.invoicing import InvoiceContent
from apportion_orgs.limits import INVOICE_CHUNK_LINES, INVOICE_SHOWN_MAX
from apportion_orgs.store.tables import invoice, invoice_document, invoice_line, invoice_part

_PARTS: Final = BinaryCopy(
    "invoice_part",
    (
        *("invoice_id", "position", "org_id", "ledger_total", "part", "allocation", "percent"),
        *("owner_pays", "org_pays", "period", "late"),
    ),
)
_DOCUMENTS: Final = BinaryCopy(
    "invoice_document", ("invoice_id", "position", "document_id", "org_id", "payable", "total")
)
_LINES: Final = BinaryCopy(
    "invoice_line",
    (
        *("invoice_id", "position", "org_id", "sku", "project_id", "kind", "quantity", "gross", "partner_id"),
        *("partner_amount", "partner_from_account", "line_count", "amount", "part_position"),
    ),
)
_NEXT_NUMBER: Final = text(
    "INSERT INTO invoice_number (billing_account_id, last) VALUES (:account, 1)"
    " ON CONFLICT (billing_account_id) DO UPDATE SET last = invoice_number.last + 1 RETURNING last"
)
_ACCOUNT_NO: Final = text("SELECT account_no FROM billing_account WHERE billing_account_id = :account")
_NUMBER_DOCUMENTS: Final = text(
    "UPDATE invoice_document SET number = :number || '-' || position WHERE invoice_id = :invoice"
)
_FINALIZE: Final = text(
    "UPDATE invoice SET state = 'final', sequence = :sequence, number = :number, finalized_by = :finalized_by,"
    " finalized_at = clock_timestamp() WHERE invoice_id = :invoice"
)
_BOOK_ROUNDING: Final = text(
    "INSERT INTO rounding_entry (invoice_id, billing_account_id, currency, amount)"
    " SELECT invoice_id, billing_account_id, currency, rounding_difference FROM invoice WHERE invoice_id = :invoice"
)


_COUNTS: Final = text(
    "SELECT (SELECT count(*) FROM invoice_part WHERE invoice_id = :invoice),"
    " (SELECT count(*) FROM invoice_document WHERE invoice_id = :invoice),"
    " (SELECT count(*) FROM invoice_line WHERE invoice_id = :invoice)"
)


class InvoiceStore:
    """Invoices in the database."""

    async def head(self, connection: AsyncConnection, invoice_id: UUID) -> InvoiceHead | None:
        """Return the invoice without what is on it."""
        row = (await connection.execute(_heads().where(invoice.c.invoice_id == invoice_id))).first()
        return None if row is None else _head(row)

    async def load(self, connection: AsyncConnection, head: InvoiceHead) -> Invoice:
        """Return the invoice with the first of what is on it, INVOICE_SHOWN_MAX of each, and how many there are."""
        counts = await connection.execute(_COUNTS, {"invoice": head.invoice_id})
        return Invoice(
            head,
            [part for _, part in await self.parts(connection, head, 0, INVOICE_SHOWN_MAX)],
            [document for _, document in await self.documents(connection, head, 0, INVOICE_SHOWN_MAX)],
            [line for _, line in await self.lines(connection, head, 0, INVOICE_SHOWN_MAX)],
            *counts.one(),
        )

    async def parts(
        self, connection: AsyncConnection, head: InvoiceHead, after: int, limit: int
    ) -> list[tuple[int, InvoicePart]]:
        """Return parts after a position, with their positions."""
        rows = await connection.execute(_page(select(invoice_part), invoice_part, head, after, limit))
        return [(row.position, _part(row, head)) for row in rows]

    async def documents(
        self, connection: AsyncConnection, head: InvoiceHead, after: int, limit: int
    ) -> list[tuple[int, InvoiceDocument]]:
        """Return documents after a position, with their positions."""
        rows = await connection.execute(_page(select(invoice_document), invoice_document, head, after, limit))
        return [(row.position, _document(row)) for row in rows]

    async def lines(
        self, connection: AsyncConnection, head: InvoiceHead, after: int, limit: int
    ) -> list[tuple[int, InvoiceLine]]:
        """Return lines after a position, with their positions."""
        of_part = (invoice_part.c.invoice_id == invoice_line.c.invoice_id) & (
            invoice_part.c.position == invoice_line.c.part_position
        )
        statement = select(invoice_line, invoice_part.c.period, invoice_part.c.late).outerjoin(invoice_part, of_part)
        rows = await connection.execute(_page(statement, invoice_line, head, after, limit))
        return [(row.position, _line(row, head)) for row in rows]

    async def page(
        self, connection: AsyncConnection, account_id: UUID | None, period: str, after: UUID | None, limit: int
    ) -> Sequence[InvoiceHead]:
        """Return invoices, oldest first, after a cursor."""
        statement = _heads().limit(limit)
        if account_id is not None:
            statement = statement.where(invoice.c.billing_account_id == account_id)
        if period:
            statement = statement.where(invoice.c.period == period)
        if after is not None:
            statement = statement.where(invoice.c.invoice_id > after)
        return [_head(row) for row in await connection.execute(statement)]

    async def of_account(self, connection: AsyncConnection, account_id: UUID) -> Sequence[InvoiceHead]:
        """Return the account's invoices that are not void."""
        statement = _heads().where(invoice.c.billing_account_id == account_id, invoice.c.state != "void")
        return [_head(row) for row in await connection.execute(statement)]

    async def write_draft(self, tx: Transaction, invoice_id: UUID, drawn: DrawnInvoice, *, is_new: bool) -> None:
        """Add a draft, or write it again in its place."""
        content, basis = drawn.content, drawn.basis
        allocation = content.allocation
        values = {
            "currency": content.currency,
            "ledger_total": amount_of_scaled(allocation.ledger_total),
            "total": amount_of_scaled(allocation.invoice_total),
            "rounding_difference": amount_of_scaled(allocation.rounding_difference),
            "horizon": drawn.watermark.watermark,
            "until": datetime_of_us(basis.period.end_us),
            "previous_invoice_id": basis.previous_id,
        }
        if is_new:
            await tx.execute(
                insert(invoice).values(
                    invoice_id=invoice_id,
                    billing_account_id=basis.account.account_id,
                    period=basis.period.key,
                    state=DRAFT,
                    created_by=current_actor(tx.service).subject,
                    **values,
                )
            )
        else:
            await tx.execute(update(invoice).where(invoice.c.invoice_id == invoice_id).values(**values))
            for table in (invoice_line, invoice_document, invoice_part):
                await _clear(tx, table, invoice_id)
        await _copy_content(tx, invoice_id, content)

    async def finalize(self, tx: Transaction, invoice_id: UUID, account_id: UUID, finalized_by: str) -> None:
        """Assign a draft the account's next number, book its rounding, and make it final."""
        account_no = (await tx.execute(_ACCOUNT_NO, {"account": account_id})).scalar_one()
        sequence = (await tx.execute(_NEXT_NUMBER, {"account": account_id})).scalar_one()
        number = f"{account_no:06d}-{sequence:06d}"
        await tx.execute(_NUMBER_DOCUMENTS, {"invoice": invoice_id, "number": number})
        await tx.execute(
            _FINALIZE,
            {"invoice": invoice_id, "sequence": sequence, "number": number, "finalized_by": finalized_by},
        )
        await tx.execute(_BOOK_ROUNDING, {"invoice": invoice_id})


async def _clear(tx: Transaction, table: Table, invoice_id: UUID) -> None:
    """Delete what a draft has in a table, in chunks: a statement's time is bounded."""
    of_invoice = table.c.invoice_id == invoice_id
    last = (await tx.execute(select(func.coalesce(func.max(table.c.position), 0)).where(of_invoice))).scalar_one()
    for start in range(0, last, INVOICE_CHUNK_LINES):
        within = table.c.position.between(start + 1, start + INVOICE_CHUNK_LINES)
        await tx.execute(delete(table).where(of_invoice, within))


async def _copy_content(tx: Transaction, invoice_id: UUID, content: InvoiceContent) -> None:
    """Write parts, documents and lines; their ids follow from the invoice and what they are."""
    raw_id, allocation = pack_uuid(invoice_id.bytes), content.allocation
    parts = (
        _PARTS.row_head
        + raw_id
        + pack_int4(position)
        + pack_uuid(part.usage.org_id)
        + _pack_amount(part.usage.ledger_total)
        + _pack_amount(part.part)
        + pack_text(part.usage.allocation.value)
        + (NULL if part.usage.percent is None else pack_numeric(part.usage.percent, PERCENT_PLACES))
        + _pack_amount(part.owner_pays)
        + _pack_amount(part.org_pays)
        + pack_text(key.period)
        + pack_bool(key.late)
        for position, (part, key) in enumerate(zip(allocation.parts, content.keys, strict=True), start=1)
    )
    issued = [(org, True, total) for org, total in allocation.payers]
    issued += [(org, False, total) for org, total in allocation.copies]
    documents = (
        _DOCUMENTS.row_head
        + raw_id
        + pack_int4(position)
        + pack_uuid(uuid5(invoice_id, f"{UUID(bytes=org)}/{'payable' if payable else 'copy'}").bytes)
        + pack_uuid(org)
        + pack_bool(payable)
        + _pack_amount(total)
        for position, (org, payable, total) in enumerate(issued, start=1)
    )
    lines = (
        _LINES.row_head
        + raw_id
        + pack_int4(position)
        + pack_uuid(line.sums.org_id)
        + pack_text(line.sums.sku)
        + pack_uuid(line.sums.project_id or b"")
        + pack_text(line.sums.kind)
        + _pack_amount(line.sums.quantity)
        + _pack_amount(line.sums.gross)
        + pack_uuid(line.sums.partner_id or b"")
        + _pack_amount(line.sums.partner_amount)
        + pack_bool(line.sums.partner_from_account)
        + pack_int8(line.sums.line_count)
        + _pack_amount(line.amount)
        + pack_int4(line.part + 1)
        for position, line in enumerate(content.lines, start=1)
    )
    connection = await tx.raw()
    for copy, rows in ((_PARTS, parts), (_DOCUMENTS, documents), (_LINES, lines)):
        while chunk := list(islice(rows, INVOICE_CHUNK_LINES)):
            await copy.write(connection, chunk)


def _page(
    statement: Select[*tuple[Any, ...]], table: Table, head: InvoiceHead, after: int, limit: int
) -> Select[*tuple[Any, ...]]:
    of_invoice = statement.where(table.c.invoice_id == head.invoice_id, table.c.position > after)
    return of_invoice.order_by(table.c.position).limit(limit)


def _pack_amount(scaled: int) -> bytes:
    return pack_numeric(scaled, AMOUNT_PLACES)


def _heads() -> Select[*tuple[Any, ...]]:
    columns = invoice.c
    return select(
        columns.invoice_id,
        columns.billing_account_id,
        columns.period,
        columns.state,
        columns.number,
        columns.currency,
        columns.ledger_total,
        columns.total,
        columns.rounding_difference,
        columns.horizon,
        columns.until,
        columns.created_at,
        columns.finalized_at,
    ).order_by(columns.invoice_id)


def _head(row: Row[*tuple[Any, ...]]) -> InvoiceHead:
    return InvoiceHead(
        row.invoice_id,
        row.billing_account_id,
        row.period,
        row.state,
        row.number or "",
        row.currency,
        scaled_of_amount(row.ledger_total),
        scaled_of_amount(row.total),
        scaled_of_amount(row.rounding_difference),
        row.horizon,
        us_of_datetime(row.until),
        row.created_at,
        row.finalized_at,
    )


def _part(row: Row[*tuple[Any, ...]], head: InvoiceHead) -> InvoicePart:
    return InvoicePart(
        row.org_id,
        row.period or head.period,
        row.late,
        scaled_of_amount(row.ledger_total),
        scaled_of_amount(row.part),
        Allocation(row.allocation),
        scaled_of_percent(row.percent),
        scaled_of_amount(row.owner_pays),
        scaled_of_amount(row.org_pays),
    )


def _document(row: Row[*tuple[Any, ...]]) -> InvoiceDocument:
    return InvoiceDocument(row.document_id, row.org_id, not row.payable, scaled_of_amount(row.total), row.number or "")


def _line(row: Row[*tuple[Any, ...]], head: InvoiceHead) -> InvoiceLine:
    return InvoiceLine(
        row.org_id,
        row.period or head.period,
        bool(row.late),
        row.sku,
        row.project_id,
        row.kind,
        scaled_of_amount(row.quantity),
        scaled_of_amount(row.gross),
        row.partner_id,
        scaled_of_amount(row.partner_amount),
        row.partner_from_account,
        row.line_count,
        scaled_of_amount(row.amount),
    )
