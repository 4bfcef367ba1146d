"""`apportion sweep`: pay the partners' balances of a week out."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import typer
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion_client.failures import retry_until_available
from apportion_client.pages import settlements_of
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import Cell, Figure, figure, money_figure, print_line, show_table, word
from apportion_cli.each import for_each, tell
from apportion_cli.labels import Labels
from apportion_cli.options import IdsOption, check_weeks
from apportion_cli.run import errors, run


def sweep(
    week: Annotated[
        list[str], typer.Argument(callback=check_weeks, help="ISO 8601 weeks in their order, such as 2013-W01.")
    ],
    ids: IdsOption = False,
) -> None:
    """Pay each partner its balance as of a week's end, week by week. Again: pays nothing more, says what was paid."""
    run(lambda services: _sweeps(services, week, Labels(services, ids=ids)))


async def _sweeps(services: Services, weeks: list[str], labels: Labels) -> None:
    sweeps = settlements_of(services, "", ledger.SETTLEMENT_KIND_SWEEP)
    before = {one.settlement_id async for one in sweeps if one.week in weeks}
    results = await for_each(weeks, lambda week: _sweep(services, week, before, labels))
    tell(results, "week", "swept")


async def _sweep(services: Services, week: str, before: set[str], labels: Labels) -> None:
    """Sweep a week, or show what its sweep paid; `before` are the payouts that earlier runs made."""
    request = ledger.RunSweepRequest(week=week, request_id=f"sweep:{uuid7()}")
    answer = await retry_until_available(
        lambda: services.ledger.RunSweep(request, timeout=CALL_TIMEOUT_S), errors.print
    )
    if not answer.results:
        print_line(f"Sweep of {week}: no partner had a balance.")
        return
    await labels.learn(partner_ids=[one.partner_id for one in answer.results])
    results = sorted(answer.results, key=lambda one: (labels[one.partner_id], one.currency))
    rows = [_row(labels[one.partner_id], one, one.settlement_id in before) for one in results]
    title = f"Sweep of {week}"
    if before & {one.settlement_id for one in results}:
        title += ", which was swept before: what was paid is not paid again"
    columns = ("partner", "currency", ">balance", ">paid now", ">paid before", "carried")
    show_table(title, columns, rows, drop=("carried",))


def _row(partner: str, result: ledger.SweepResult, paid_before: bool) -> tuple[Cell, ...]:
    paid, nothing = money_figure(result.paid), Figure(Decimal(0), result.currency)
    now, before = (nothing, paid) if paid_before else (paid, nothing)
    balance = figure(result.exact_balance, result.currency)
    return (partner, result.currency, balance, now, before, word(result.carried_reason, ""))
