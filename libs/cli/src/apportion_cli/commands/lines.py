"""`apportion lines`: the ledger's lines."""

from __future__ import annotations

from typing import Annotated

import typer
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion_client.names import Names
from apportion_client.pages import lines_of
from apportion_client.services import Services

from apportion_cli.display import Cell, counted, figure, money_figure, show_table
from apportion_cli.labels import PROJECT_CHARS, Labels
from apportion_cli.options import AccountOption, IdsOption, OrgOption, PrefixOption
from apportion_cli.run import run


def lines(
    org: OrgOption = "",
    sku: Annotated[str, typer.Option(help="SKU, such as ACT-DEPARTURE.")] = "",
    partner: Annotated[str, typer.Option(help="Name or id of a partner.")] = "",
    account: AccountOption = "",
    limit: Annotated[int, typer.Option(min=1, help="Lines at most.")] = 50,
    ids: IdsOption = False,
    prefix: PrefixOption = "",
) -> None:
    """Show lines with their split: gross = partner's share + net."""

    async def main(services: Services) -> None:
        names = Names(services, prefix)
        wanted = ledger.LineFilter(
            org_id=await names.org(org),
            sku=sku,
            partner_id=await names.partner(partner),
            billing_account_id=await names.account(account),
        )
        await _lines(services, wanted, limit, Labels(services, ids=ids))

    run(main)


async def _lines(services: Services, wanted: ledger.LineFilter, limit: int, labels: Labels) -> None:
    found = [line async for line in lines_of(services, wanted, limit)]
    await labels.learn(
        {line.org_id for line in found},
        {line.billing_account_id for line in found},
        {line.partner_id for line in found if line.partner_id},
    )
    in_order = sorted(found, key=lambda line: (line.event_time.ToNanoseconds(), line.entry_id))
    columns = (
        "event time",
        "org",
        "project",
        "sku",
        ">quantity",
        "account",
        "currency",
        ">gross",
        "partner",
        ">partner's %",
        ">share",
        ">net",
        ">paid at once",
    )
    show_table(counted(len(found), "line"), columns, [_row(line, labels) for line in in_order])


def _row(line: ledger.LedgerLine, labels: Labels) -> tuple[Cell, ...]:
    return (
        line.event_time.ToJsonString(),
        labels[line.org_id],
        line.project_id[:PROJECT_CHARS],
        line.sku,
        figure(line.quantity),
        labels[line.billing_account_id],
        line.amount_gross.currency_code,
        money_figure(line.amount_gross),
        labels[line.partner_id],
        figure(line.partner_pct),
        money_figure(line.partner_amount),
        money_figure(line.net),
        money_figure(line.real_time_paid) if line.HasField("real_time_paid") else "",
    )
