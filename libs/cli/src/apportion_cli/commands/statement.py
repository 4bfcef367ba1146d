"""`apportion statement`: what a partner earned and was paid."""

from __future__ import annotations

from typing import Annotated

import typer
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion_client import naming
from apportion_client.services import CALL_TIMEOUT_S, Services

from apportion_cli.display import Cell, figure, show_table
from apportion_cli.run import run


def statement(
    partner: Annotated[list[str], typer.Argument(help="Codes or ids of partners.")],
    period: Annotated[str, typer.Option(help="Calendar month of the lines; all time where it is not given.")] = "",
) -> None:
    """Show opening, earned, clawed back, paid and closing of partners, per currency."""
    run(lambda services: _statements(services, partner, period))


async def _statements(services: Services, partners: list[str], period: str) -> None:
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
    for code in partners:
        request = ledger.GetPartnerStatementRequest(partner_id=str(naming.partner_id(code)), period=period)
        answer = await services.ledger.GetPartnerStatement(request, timeout=CALL_TIMEOUT_S)
        rows += [_row(answer.partner, currency) for currency in answer.currencies]
    show_table(f"Statement, {period or 'all time'}", columns, rows)


def _row(partner: ledger.Partner, of: ledger.StatementOfCurrency) -> tuple[Cell, ...]:
    sums = of.exact
    return (
        partner.name,
        of.currency,
        *(figure(part, of.currency) for part in (sums.opening, sums.earned, sums.clawed_back)),
        *(figure(part, of.currency) for part in (sums.paid_real_time, sums.paid_sweep, sums.closing)),
        f"{of.line_count:,}",
        f"{of.real_time_count:,}",
        "yes" if of.payable else f"no: paid in {partner.payout_currency}",
    )
