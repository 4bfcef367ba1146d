"""`apportion lines`: the ledger's lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import typer
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion_client import naming
from apportion_client.names import Names
from apportion_client.pages import lines_of
from apportion_client.services import Services
from apportion_common.periods import parse_period
from google.type import money_pb2

from apportion_cli.display import (
    Cell,
    Figure,
    counted,
    figure,
    money_decimal,
    money_figure,
    print_line,
    show_table,
    when,
    word,
)
from apportion_cli.labels import PROJECT_CHARS, Labels
from apportion_cli.options import AccountOption, OrgOption, PrefixOption, check_period
from apportion_cli.run import run

COLUMNS = (
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
    ">paid real-time",
    "posted",
)
IDS = ("entry", "event")
DROP = ("posted", "project", "account", "partner's %", "quantity", "partner", "org", "sku")
"""What is left out first where the terminal is narrow."""


def lines(
    org: OrgOption = "",
    sku: Annotated[str, typer.Option(help="SKU, such as ACT-DEPARTURE.")] = "",
    partner: Annotated[str, typer.Option(help="Name or id of a partner.")] = "",
    account: AccountOption = "",
    project: Annotated[str, typer.Option(help="Id of a project, or its code together with --org.")] = "",
    period: Annotated[
        str, typer.Option(callback=check_period, help="Calendar month of the usage, such as 2013-01.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="Lines at most.")] = 50,
    ids: Annotated[
        bool, typer.Option("--ids", help="Show ids in place of names, and those of lines and events.")
    ] = False,
    prefix: PrefixOption = "",
) -> None:
    """Show lines with their split: gross = partner's share + net, and their totals."""

    async def main(services: Services) -> None:
        names = Names(services, prefix)
        wanted = ledger.LineFilter(
            org_id=await names.org(org),
            project_id=_project_id(org, project, prefix),
            sku=sku,
            partner_id=await names.partner(partner),
            billing_account_id=await names.account(account),
        )
        if period:
            month = parse_period(period)
            getattr(wanted, "from").FromMicroseconds(month.start_us)
            wanted.until.FromMicroseconds(month.end_us)
        await _lines(services, wanted, limit, ids)

    run(main)


def _project_id(org: str, project: str, prefix: str) -> str:
    if not project:
        return ""
    if not org:
        try:
            return str(UUID(project))
        except ValueError:
            raise typer.BadParameter("A project's code is one of its organisation: name that by --org.") from None
    return str(naming.project_id(org, project, prefix))


async def _lines(services: Services, wanted: ledger.LineFilter, limit: int, ids: bool) -> None:
    found = [line async for line in lines_of(services, wanted, limit + 1)]
    more = len(found) > limit
    del found[limit:]
    labels = Labels(services, ids=ids)
    await labels.learn(
        {line.org_id for line in found},
        {line.billing_account_id for line in found},
        {line.partner_id for line in found if line.partner_id},
    )
    in_order = sorted(found, key=lambda line: (line.event_time.ToNanoseconds(), line.entry_id))
    columns = (*COLUMNS, *IDS) if ids else COLUMNS
    rows = [_row(line, labels, ids) for line in in_order]
    blank = len(columns) - len(COLUMNS)
    totals = [(*total, *[""] * blank) for total in _totals(found)]
    show_table(counted(len(found), "line"), columns, rows, totals if len(found) > 1 else (), drop=DROP)
    if more:
        print_line(
            f"There are more than these {limit:,}, and the totals are of these alone; --limit shows more.", "yellow"
        )


def _row(line: ledger.LedgerLine, labels: Labels, ids: bool) -> tuple[Cell, ...]:
    return (
        line.event_time.ToJsonString(),
        labels[line.org_id],
        line.project_id if ids else line.project_id[:PROJECT_CHARS],
        line.sku or word(ledger.LineKind.Name(line.kind), "LINE_KIND_"),
        figure(line.quantity),
        labels[line.billing_account_id],
        line.amount_gross.currency_code,
        money_figure(line.amount_gross),
        labels[line.partner_id],
        figure(line.partner_pct),
        money_figure(line.partner_amount),
        money_figure(line.net),
        money_figure(line.real_time_paid) if line.HasField("real_time_paid") else "",
        when(line.posted_at),
        *((line.entry_id, line.event_id) if ids else ()),
    )


def _totals(found: list[ledger.LedgerLine]) -> Iterator[tuple[Cell, ...]]:
    """Yield the sums of the lines, a row per currency."""
    by_currency: dict[str, list[ledger.LedgerLine]] = defaultdict(list)
    for line in found:
        by_currency[line.amount_gross.currency_code].append(line)
    for currency, those in sorted(by_currency.items()):

        def total(amounts: Iterator[money_pb2.Money], currency: str = currency) -> Figure:
            return Figure(sum(map(money_decimal, amounts), Decimal(0)), currency)

        gross = total(line.amount_gross for line in those)
        share, net = total(line.partner_amount for line in those), total(line.net for line in those)
        paid = total(line.real_time_paid for line in those)
        yield ("total", *[""] * 5, currency, gross, "", "", share, net, paid, "")
