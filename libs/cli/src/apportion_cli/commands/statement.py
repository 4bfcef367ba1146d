"""`apportion statement`: what a partner earned and was paid."""

from __future__ import annotations

from typing import Annotated

import typer
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion_client.names import Names
from apportion_client.services import CALL_TIMEOUT_S, Services

from apportion_cli.display import Cell, money_figure, show_table
from apportion_cli.options import IdsOption
from apportion_cli.run import run


def statement(
    partner: Annotated[list[str], typer.Argument(help="Names or ids of partners.")],
    period: Annotated[str, typer.Option(help="Calendar month of the lines; all time where it is not given.")] = "",
    ids: IdsOption = False,
) -> None:
    """Show opening, earned, clawed back, paid and closing of partners, per currency."""
    run(lambda services: _statements(services, partner, period, ids))


async def _statements(services: Services, partners: list[str], period: str, ids: bool) -> None:
    columns = (
        "partner",
        "currency",
        ">opening",
        ">earned",
        ">clawed back",
        ">paid real-time",
        ">paid swept",
        ">closing",
        ">lines",
        ">lines paid at once",
        "payable",
    )
    rows: list[tuple[Cell, ...]] = []
    names = Names(services)
    for name in partners:
        request = ledger.GetPartnerStatementRequest(partner_id=await names.partner(name), period=period)
        answer = await services.ledger.GetPartnerStatement(request, timeout=CALL_TIMEOUT_S)
        rows += [_row(answer.partner, currency, ids) for currency in answer.currencies]
    show_table(f"Statement, {period or 'all time'}", columns, rows)


def _row(partner: ledger.Partner, of: ledger.StatementOfCurrency, ids: bool) -> tuple[Cell, ...]:
    return (
        partner.partner_id if ids else partner.name,
        of.currency,
        *(money_figure(part) for part in (of.opening, of.earned, of.clawed_back, of.paid_real_time, of.paid_sweep)),
        money_figure(of.closing),
        f"{of.line_count:,}",
        f"{of.real_time_count:,}",
        "yes" if of.payable else f"no: paid in {partner.payout_currency}",
    )
