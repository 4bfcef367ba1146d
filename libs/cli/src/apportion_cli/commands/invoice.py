"""`apportion invoice`: draw up consolidated invoices and show them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated

import grpc
import typer
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion_client.failures import reason_of, retry_until_available
from apportion_client.names import Names
from apportion_client.pages import invoices_of, mapped_accounts, whole_invoice
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7
from google.type import decimal_pb2

from apportion_cli.display import (
    Cell,
    Figure,
    amount,
    console,
    figure,
    money,
    money_decimal,
    money_figure,
    number,
    print_line,
    progress,
    show_table,
)
from apportion_cli.each import NothingToDo, for_each, tell
from apportion_cli.labels import PROJECT_CHARS, Labels
from apportion_cli.options import AccountOption, IdsOption, PeriodArgument, PrefixOption
from apportion_cli.run import errors, fail, run

NOTHING_TO_BILL = "nothing to bill"
NOTHING_TO_INVOICE = "NOTHING_TO_INVOICE"
"""The reason with which orgs says so."""
_FINAL = (orgs.INVOICE_STATE_FINAL, orgs.INVOICE_STATE_PAID)


def invoice(
    period: PeriodArgument,
    account: AccountOption = "",
    finalize: Annotated[bool, typer.Option("--finalize", help="Number it and make it immutable.")] = False,
    ids: IdsOption = False,
    prefix: PrefixOption = "",
) -> None:
    """Draw up the invoice of an account, or of every account with lines, and show it. A final one stays.

    Accounts that cannot be invoiced are named at the end, with exit code 1; the others are not kept waiting.
    """
    run(lambda services: _invoices(services, period, account, finalize, prefix, ids))


async def _invoices(services: Services, period: str, account: str, finalize: bool, prefix: str, ids: bool) -> None:
    wanted = [await Names(services, prefix).account(account)] if account else await mapped_accounts(services)
    if not wanted:
        fail("No organisation is billed on an account yet.")
    with progress("invoice", len(wanted), "accounts") as bar:
        results = await for_each(
            wanted, lambda account_id: _draw_up(services, account_id, period, finalize), lambda: bar.advance(1)
        )
    found = list(results.done.values())
    labels = Labels(services, ids=ids)
    await labels.learn(
        [part.org_id for one in found for part in one.parts] + [doc.org_id for one in found for doc in one.documents],
        wanted,
        [line.partner_id for one in found for line in one.lines if line.partner_id],
    )
    if not account:
        _show_summary(period, found, labels)
    elif found:
        _show_whole(found[0], labels)
    if account and results.passed:
        fail(f"{labels[wanted[0]]} has {NOTHING_TO_BILL} for {period}.")
    tell(results, "account", "finalised" if finalize else "drawn up", labels.distinct(wanted))


async def _draw_up(services: Services, account_id: str, period: str, finalize: bool) -> orgs.Invoice:
    """Return a fresh draft, finalised if asked; or the final invoice that stands.

    Raises NothingToDo where no line is to be billed: an empty invoice is not made final.
    """
    async for invoice in invoices_of(services, period, account_id):
        if invoice.state in _FINAL:
            return await whole_invoice(services, invoice.invoice_id)
    request = orgs.GenerateInvoiceRequest(billing_account_id=account_id, period=period, request_id=f"invoice:{uuid7()}")
    try:
        draft = await retry_until_available(
            lambda: services.orgs.GenerateInvoice(request, timeout=CALL_TIMEOUT_S), errors.print
        )
    except grpc.aio.AioRpcError as error:
        if reason_of(error) == NOTHING_TO_INVOICE:
            raise NothingToDo(NOTHING_TO_BILL) from None
        raise
    drawn = draft.invoice
    if finalize:
        final = orgs.FinalizeInvoiceRequest(invoice_id=drawn.invoice_id, request_id=f"finalize:{uuid7()}")
        done = await retry_until_available(
            lambda: services.orgs.FinalizeInvoice(final, timeout=CALL_TIMEOUT_S), errors.print
        )
        drawn = done.invoice
    return await whole_invoice(services, drawn.invoice_id)


def _show_summary(period: str, found: list[orgs.Invoice], labels: Labels) -> None:
    columns = (
        "account",
        "number",
        "state",
        "currency",
        ">ledger total",
        ">invoice total",
        ">rounding",
        "payers",
        "copies",
    )
    rows = [
        (
            labels[one.billing_account_id],
            one.number or "-",
            _name(orgs.InvoiceState.Name(one.state), "INVOICE_STATE_"),
            one.currency,
            figure(one.ledger_total, one.currency),
            money_figure(one.total),
            figure(one.rounding_difference, one.currency),
            _documents(one, labels, copies=False),
            _documents(one, labels, copies=True) or "-",
        )
        for one in found
    ]
    if rows:
        show_table(f"Invoices of {period}", columns, rows, drop=("copies", "payers", "rounding", "number", "state"))


def _documents(one: orgs.Invoice, labels: Labels, *, copies: bool) -> str:
    return ", ".join(
        f"{labels[doc.org_id]} {money(doc.total).removesuffix(f' {doc.total.currency_code}')}"
        for doc in one.documents
        if doc.copy == copies
    )


def _kind(document: orgs.InvoiceDocument) -> str:
    if document.copy:
        return "copy, not payable"
    return "credit note" if document.credit_note else "payable"


def _period(of: orgs.InvoiceLine | orgs.InvoiceOrgPart) -> str:
    return f"{of.period} late" if of.late else of.period


def _show_whole(one: orgs.Invoice, labels: Labels) -> None:
    state = _name(orgs.InvoiceState.Name(one.state), "INVOICE_STATE_")
    print_line(f"Invoice {one.number or '(draft)'} of {labels[one.billing_account_id]}, {one.period}, {state}", "bold")
    print_line(
        f"ledger total {_amount(one.ledger_total, one)}, rounding {_amount(one.rounding_difference, one)}, "
        f"invoice total {money(one.total)}"
    )
    console.print()
    show_table(
        f"Lines, amounts in {one.currency}",
        (
            "organisation",
            "period",
            "sku",
            "project",
            "partner",
            "of record for",
            ">lines",
            ">quantity",
            ">ledger",
            ">share",
            ">amount",
        ),
        _line_rows(one, labels),
        [("total", *[""] * 7, figure(one.ledger_total, one.currency), _shares(one), money_figure(one.total))],
        drop=("of record for", "project", "lines", "partner", "quantity"),
    )
    console.print()
    show_table(
        f"Parts, in declared order, amounts in {one.currency}",
        ("organisation", "period", ">ledger", ">part", "allocation", ">owner's %", ">owner pays", ">organisation pays"),
        _part_rows(one, labels),
        drop=("allocation", "owner's %"),
    )
    console.print()
    show_table(
        "Documents",
        ("organisation", "number", "state", "currency", ">total"),
        [
            (
                labels[doc.org_id],
                doc.number or "-",
                _kind(doc),
                doc.total.currency_code,
                money_figure(doc.total),
            )
            for doc in one.documents
        ],
        drop=("state",),
    )


def _line_rows(one: orgs.Invoice, labels: Labels) -> Iterator[tuple[Cell, ...]]:
    for line in one.lines:
        yield (
            labels[line.org_id],
            _period(line),
            line.sku or _name(orgs.LineKindName.Name(line.kind), "LINE_KIND_NAME_"),
            line.project_id[:PROJECT_CHARS],
            labels[line.partner_id] or "-",
            ("account" if line.partner_from_account else "org") if line.partner_id else "",
            f"{line.line_count:,}",
            figure(line.quantity),
            figure(line.gross, one.currency),
            figure(line.partner_amount, one.currency),
            money_figure(line.amount),
        )


def _part_rows(one: orgs.Invoice, labels: Labels) -> Iterator[tuple[Cell, ...]]:
    for part in one.parts:
        yield (
            labels[part.org_id],
            _period(part),
            figure(part.ledger_total, one.currency),
            money_figure(part.part),
            _name(orgs.Allocation.Name(part.allocation), "ALLOCATION_"),
            part.percent.value,
            money_figure(part.owner_pays),
            money_figure(part.org_pays),
        )


def _shares(one: orgs.Invoice) -> Figure:
    shown = sum((Decimal(number(line.partner_amount)) for line in one.lines), Decimal(0))
    assert sum((money_decimal(line.amount) for line in one.lines), Decimal(0)) == money_decimal(one.total)
    return Figure(shown, one.currency)


def _amount(value: decimal_pb2.Decimal, one: orgs.Invoice) -> str:
    return amount(Decimal(number(value)), one.currency)


def _name(name: str, of: str) -> str:
    return name.removeprefix(of).lower()
