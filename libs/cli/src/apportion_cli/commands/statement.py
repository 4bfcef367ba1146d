"""`apportion statement`: what a partner earned and was paid."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_DOWN, Decimal
from typing import Annotated, NamedTuple

import typer
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion_client.names import Names
from apportion_client.pages import settlements_of
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.money import MINOR_UNITS

from apportion_cli.display import (
    Cell,
    Figure,
    counted,
    figure,
    money_figure,
    number,
    print_line,
    show_table,
    when,
    word,
)
from apportion_cli.each import for_each, tell
from apportion_cli.options import IdsOption, check_period
from apportion_cli.run import run

COLUMNS = (
    "partner",
    "currency",
    ">opening",
    ">earned",
    ">clawed back",
    ">paid real-time",
    ">paid swept",
    ">closing",
    ">of it payable",
    ">carried",
    ">lines",
    ">lines paid real-time",
    "payable",
)
PAYOUT_COLUMNS = ("partner", "week", "currency", ">paid", "state", "made")
SUNDAY = 7


class Statement(NamedTuple):
    """What is shown of a partner: the sums, and the sweeps that are in them."""

    answer: ledger.GetPartnerStatementResponse
    sweeps: list[ledger.Settlement]


def statement(
    partner: Annotated[list[str], typer.Argument(help="Names or ids of partners.")],
    period: Annotated[
        str, typer.Option(callback=check_period, help="Calendar month of the lines; all time where it is not given.")
    ] = "",
    ids: IdsOption = False,
) -> None:
    """Show opening, earned, clawed back, paid and closing of partners, per currency, and the payouts of sweeps.

    Of a closing balance, whole minor units in the partner's payout currency are payable; the rest is carried.
    """
    run(lambda services: _statements(services, partner, period, ids))


async def _statements(services: Services, partners: list[str], period: str, ids: bool) -> None:
    names = Names(services)
    results = await for_each(dict.fromkeys(partners), lambda name: _statement(services, names, name, period))
    found = list(results.done.values())
    if found:
        rows = [_row(one.answer.partner, of, ids) for one in found for of in one.answer.currencies]
        show_table(
            f"Statement, {period or 'all time'}",
            COLUMNS,
            rows,
            drop=("payable", "lines paid real-time", "lines", "currency"),
        )
        payouts = [_payout(one.answer.partner, sweep, ids) for one in found for sweep in one.sweeps]
        print_line("")
        show_table(f"Sweeps, {counted(len(payouts), 'payout')}", PAYOUT_COLUMNS, payouts, drop=("made", "state"))
    tell(results, "partner", "shown")


async def _statement(services: Services, names: Names, name: str, period: str) -> Statement:
    partner_id = await names.partner(name)
    request = ledger.GetPartnerStatementRequest(partner_id=partner_id, period=period)
    answer = await services.ledger.GetPartnerStatement(request, timeout=CALL_TIMEOUT_S)
    sweeps = settlements_of(services, partner_id, ledger.SETTLEMENT_KIND_SWEEP)
    within = [one async for one in sweeps if not period or _month_of(one.week) == period]
    return Statement(answer, sorted(within, key=lambda one: one.week))


def _month_of(week: str) -> str:
    """Return the month that a week's sweep counts in: its last day's."""
    year, _, number = week.partition("-W")
    return date.fromisocalendar(int(year), int(number), SUNDAY).isoformat()[: len("2013-01")]


def _row(partner: ledger.Partner, of: ledger.StatementOfCurrency, ids: bool) -> tuple[Cell, ...]:
    sums = of.exact
    closing = Decimal(number(sums.closing))
    payable = payable_part(closing, of.currency) if of.payable else Decimal(0)
    return (
        partner.partner_id if ids else partner.name,
        of.currency,
        *(figure(part, of.currency) for part in (sums.opening, sums.earned, sums.clawed_back)),
        *(figure(part, of.currency) for part in (sums.paid_real_time, sums.paid_sweep, sums.closing)),
        Figure(payable, of.currency),
        Figure(closing - payable, of.currency),
        f"{of.line_count:,}",
        f"{of.real_time_count:,}",
        "yes" if of.payable else f"no: paid in {partner.payout_currency}",
    )


def payable_part(closing: Decimal, currency: str) -> Decimal:
    """Return what a sweep would pay of a balance: whole minor units of what is owed."""
    unit = Decimal(1).scaleb(-MINOR_UNITS.get(currency, 0))
    return max(closing, Decimal(0)).quantize(unit, ROUND_DOWN)


def _payout(partner: ledger.Partner, sweep: ledger.Settlement, ids: bool) -> tuple[Cell, ...]:
    return (
        partner.partner_id if ids else partner.name,
        sweep.week,
        sweep.amount.currency_code,
        money_figure(sweep.amount),
        word(ledger.SettlementState.Name(sweep.state), "SETTLEMENT_STATE_"),
        when(sweep.created_at),
    )
