"""Lists that come in pages, read to their end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from apportion.common.v1 import audit_pb2
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion.metering.v1 import metering_service_pb2 as metering
from apportion.orgs.v1 import orgs_service_pb2 as orgs

from apportion_client.services import CALL_TIMEOUT_S, Services

PAGE_SIZE = 1_000


async def items_of(
    call: Any, request: Any, items: str, limit: int | None = None, *, query: Any = None
) -> AsyncIterator[Any]:
    """Yield the items of a list, page by page; the first `limit` of them where there is one.

    `items` is the name of their field in the answer, `query` the part of the request that asks for a page: the request
    itself unless one is given.
    """
    asking = request if query is None else query
    left = limit
    while left is None or left > 0:
        asking.page_size = PAGE_SIZE if left is None else min(left, PAGE_SIZE)
        answer = await call(request, timeout=CALL_TIMEOUT_S)
        found = getattr(answer, items)
        for item in found:
            yield item
        left = None if left is None else left - len(found)
        asking.page_token = answer.next_page_token
        if not asking.page_token:
            return


async def every(call: Any, request: Any, items: str) -> list[Any]:
    """Return all items of a list of moderate length; `items` is the name of their field in the answer."""
    return [item async for item in items_of(call, request, items)]


def audit_of(call: Any, request: Any, limit: int) -> AsyncIterator[audit_pb2.AuditEntry]:
    """Return the first `limit` audit entries that a service's request asks for, newest first."""
    return items_of(call, request, "entries", limit, query=request.query)


def lines_of(
    services: Services, wanted: ledger.LineFilter, limit: int | None = None
) -> AsyncIterator[ledger.LedgerLine]:
    """Return the lines that match, by entry id; the first `limit` of them where there is one."""
    return items_of(services.ledger.ListLines, ledger.ListLinesRequest(filter=wanted), "lines", limit)


def dead_letters_of(
    services: Services, wanted: metering.DeadLetterFilter, limit: int | None = None
) -> AsyncIterator[metering.DeadLetter]:
    """Return the dead letters that match, oldest first; the first `limit` of them where there is one."""
    request = metering.ListDeadLettersRequest(filter=wanted)
    return items_of(services.metering.ListDeadLetters, request, "dead_letters", limit)


def settlements_of(
    services: Services, partner_id: str, kind: ledger.SettlementKind
) -> AsyncIterator[ledger.Settlement]:
    """Return a partner's settlements of one kind."""
    request = ledger.ListSettlementsRequest(partner_id=partner_id, kind=kind)
    return items_of(services.ledger.ListSettlements, request, "settlements")


def invoices_of(services: Services, period: str, account_id: str = "") -> AsyncIterator[orgs.Invoice]:
    """Return the invoices of a period, without their lines."""
    request = orgs.ListInvoicesRequest(period=period, billing_account_id=account_id)
    return items_of(services.orgs.ListInvoices, request, "invoices")


async def whole_invoice(services: Services, invoice_id: str) -> orgs.Invoice:
    """Return an invoice with all that is on it, however much that is."""
    request = orgs.GetInvoiceRequest(invoice_id=invoice_id)
    invoice: orgs.Invoice = (await services.orgs.GetInvoice(request, timeout=CALL_TIMEOUT_S)).invoice
    if len(invoice.parts) < invoice.part_count:
        parts = await every(
            services.orgs.ListInvoiceParts, orgs.ListInvoicePartsRequest(invoice_id=invoice_id), "parts"
        )
        del invoice.parts[:]
        invoice.parts.extend(parts)
    if len(invoice.documents) < invoice.document_count:
        documents = await every(
            services.orgs.ListInvoiceDocuments, orgs.ListInvoiceDocumentsRequest(invoice_id=invoice_id), "documents"
        )
        del invoice.documents[:]
        invoice.documents.extend(documents)
    if len(invoice.lines) < invoice.line_count:
        lines = await every(
            services.orgs.ListInvoiceLines, orgs.ListInvoiceLinesRequest(invoice_id=invoice_id), "lines"
        )
        del invoice.lines[:]
        invoice.lines.extend(lines)
    return invoice


async def mapped_accounts(services: Services) -> list[str]:
    """Return the ids of the billing accounts that an organisation is or was billed on, in the order of their first
    mapping.
    """
    mappings = await every(services.orgs.ListMappings, orgs.ListMappingsRequest(), "mappings")
    return list(dict.fromkeys(mapping.billing_account_id for mapping in mappings))
