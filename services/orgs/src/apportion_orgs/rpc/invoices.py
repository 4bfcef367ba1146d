"""The RPCs about invoices."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion.orgs.v1.orgs_service_pb2_grpc import OrgsServiceServicer
from apportion_common.db.idempotency import mutation
from apportion_common.fields import id_of, optional_id
from apportion_common.ids import parse_uuid
from apportion_common.pages import int_of, page_size, read_token, split_page

from apportion_orgs.app.events import invoice_head_to_message
from apportion_orgs.app.invoices import Invoices
from apportion_orgs.domain.invoices import Invoice
from apportion_orgs.rpc.messages import (
    document_to_message,
    invoice_line_to_message,
    invoice_to_message,
    part_to_message,
)


class InvoiceRpcs(OrgsServiceServicer):
    """Drafts, finalises and reads invoices."""

    invoices: Invoices

    async def GenerateInvoice(self, request: pb.GenerateInvoiceRequest, context: Any) -> pb.GenerateInvoiceResponse:
        """Draft the invoice of a billing account and period, or draw its draft again."""
        account_id = id_of(request.billing_account_id, "billing_account_id")
        return await self.invoices.generate(mutation(request, _generated), account_id, request.period)

    async def FinalizeInvoice(self, request: pb.FinalizeInvoiceRequest, context: Any) -> pb.FinalizeInvoiceResponse:
        """Number a draft and make it immutable."""
        return await self.invoices.finalize(mutation(request, _finalized), id_of(request.invoice_id, "invoice_id"))

    async def GetInvoice(self, request: pb.GetInvoiceRequest, context: Any) -> pb.GetInvoiceResponse:
        """Return an invoice with its first parts, documents and lines."""
        invoice = await self.invoices.get(id_of(request.invoice_id, "invoice_id"))
        return pb.GetInvoiceResponse(invoice=invoice_to_message(invoice))

    async def ListInvoices(self, request: pb.ListInvoicesRequest, context: Any) -> pb.ListInvoicesResponse:
        """List invoices of an account or a period, without their lines."""
        size, after = page_size(request.page_size), read_token(request.page_token, parse_uuid)
        account_id = optional_id(request.billing_account_id, "billing_account_id")
        found = await self.invoices.page(account_id, request.period, after, size + 1)
        page, token = split_page(found, size, lambda head: (head.invoice_id,))
        return pb.ListInvoicesResponse(invoices=map(invoice_head_to_message, page), next_page_token=token)

    async def ListInvoiceParts(self, request: pb.ListInvoicePartsRequest, context: Any) -> pb.ListInvoicePartsResponse:
        """List the parts of an invoice."""
        invoice_id, size, after = _page_of(request)
        head, found = await self.invoices.parts(invoice_id, after, size + 1)
        page, token = split_page(found, size, _position)
        return pb.ListInvoicePartsResponse(
            parts=[part_to_message(part, head.currency) for _, part in page], next_page_token=token
        )

    async def ListInvoiceDocuments(
        self, request: pb.ListInvoiceDocumentsRequest, context: Any
    ) -> pb.ListInvoiceDocumentsResponse:
        """List the documents of an invoice."""
        invoice_id, size, after = _page_of(request)
        head, found = await self.invoices.documents(invoice_id, after, size + 1)
        page, token = split_page(found, size, _position)
        return pb.ListInvoiceDocumentsResponse(
            documents=[document_to_message(document, head.currency) for _, document in page], next_page_token=token
        )

    async def ListInvoiceLines(self, request: pb.ListInvoiceLinesRequest, context: Any) -> pb.ListInvoiceLinesResponse:
        """List the lines of an invoice."""
        invoice_id, size, after = _page_of(request)
        head, found = await self.invoices.lines(invoice_id, after, size + 1)
        page, token = split_page(found, size, _position)
        return pb.ListInvoiceLinesResponse(
            lines=[invoice_line_to_message(line, head.currency) for _, line in page], next_page_token=token
        )


def _page_of(
    request: pb.ListInvoicePartsRequest | pb.ListInvoiceDocumentsRequest | pb.ListInvoiceLinesRequest,
) -> tuple[UUID, int, int]:
    """Return the invoice, the size of the page, and the position that it comes after."""
    after = read_token(request.page_token, lambda position: int_of(position, 32))
    return id_of(request.invoice_id, "invoice_id"), page_size(request.page_size), after or 0


def _position(found: tuple[int, object]) -> tuple[int]:
    return (found[0],)


def _generated(invoice: Invoice) -> pb.GenerateInvoiceResponse:
    return pb.GenerateInvoiceResponse(invoice=invoice_to_message(invoice))


def _finalized(invoice: Invoice) -> pb.FinalizeInvoiceResponse:
    return pb.FinalizeInvoiceResponse(invoice=invoice_to_message(invoice))
