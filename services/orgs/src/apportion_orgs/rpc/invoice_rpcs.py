"""Invoices: proto in, use case, proto out."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion.orgs.v1.orgs_service_pb2_grpc import OrgsServiceServicer
from apportion_common.db.idempotency import run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.pages import page_size, read_token, split_page

from apportion_orgs.app.invoices import Invoices
from apportion_orgs.app.messages import invoice_head_message, invoice_message
from apportion_orgs.app.ports import DrawnInvoice
from apportion_orgs.rpc.mapping import id_of, optional_id_of


class InvoiceRpcs(OrgsServiceServicer):
    """The RPCs about invoices."""

    _database: Database
    _invoices: Invoices

    async def GenerateInvoice(self, request: pb.GenerateInvoiceRequest, context: Any) -> pb.GenerateInvoiceResponse:
        """Draft the invoice of a billing account and period, or draw its draft up afresh."""
        account_id = id_of(request.billing_account_id, "billing_account_id")

        async def mutate(drawn: DrawnInvoice | None) -> pb.GenerateInvoiceResponse:
            async def work(tx: Transaction) -> pb.GenerateInvoiceResponse:
                invoice = await self._invoices.generate(tx, account_id, request.period, drawn)
                return pb.GenerateInvoiceResponse(invoice=invoice_message(invoice))

            return await run_mutation(self._database, "GenerateInvoice", request, pb.GenerateInvoiceResponse, work)

        return await self._invoices.with_drawing(mutate)

    async def FinalizeInvoice(self, request: pb.FinalizeInvoiceRequest, context: Any) -> pb.FinalizeInvoiceResponse:
        """Number a draft and make it immutable."""
        invoice_id = id_of(request.invoice_id, "invoice_id")

        async def mutate(drawn: DrawnInvoice | None) -> pb.FinalizeInvoiceResponse:
            async def work(tx: Transaction) -> pb.FinalizeInvoiceResponse:
                invoice = await self._invoices.finalize(tx, invoice_id, drawn)
                return pb.FinalizeInvoiceResponse(invoice=invoice_message(invoice))

            return await run_mutation(self._database, "FinalizeInvoice", request, pb.FinalizeInvoiceResponse, work)

        return await self._invoices.with_drawing(mutate)

    async def GetInvoice(self, request: pb.GetInvoiceRequest, context: Any) -> pb.GetInvoiceResponse:
        """Read an invoice with its documents and lines."""
        async with self._database.read(snapshot=True) as connection:
            invoice = await self._invoices.get(connection, id_of(request.invoice_id, "invoice_id"))
        return pb.GetInvoiceResponse(invoice=invoice_message(invoice))

    async def ListInvoices(self, request: pb.ListInvoicesRequest, context: Any) -> pb.ListInvoicesResponse:
        """List invoices of an account or a period, without their lines."""
        size = page_size(request.page_size)
        account_id = optional_id_of(request.billing_account_id, "billing_account_id")
        after = read_token(request.page_token, UUID)
        async with self._database.read() as connection:
            found = await self._invoices.page(connection, account_id, request.period, after, size + 1)
        page, token = split_page(found, size, lambda head: (head.invoice_id,))
        return pb.ListInvoicesResponse(invoices=map(invoice_head_message, page), next_page_token=token)
