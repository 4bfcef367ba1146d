"""`apportion rate`: the commission rates of tiers, listed and set."""

from __future__ import annotations

from typing import Annotated

import typer
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.commands.sku import SkuType
from apportion_cli.display import Cell, counted, figure, print_line, when
from apportion_cli.listing import (
    LIMIT,
    FromOption,
    JsonOption,
    LimitOption,
    decimal,
    first,
    show_items,
    value_word,
)
from apportion_cli.run import fail, run

COLUMNS = ("tier", "for", "which", ">%", "from")

app = typer.Typer(help="Commission rates: what partners of a tier get of a charge.", no_args_is_help=True)


@app.command(name="list")
def list_(
    tier: Annotated[str, typer.Option(help="Only of this tier.")] = "",
    limit: LimitOption = LIMIT,
    as_json: JsonOption = False,
) -> None:
    """Show the rates that were ever set, by tier and what they are for, newest last."""

    async def main(services: Services) -> None:
        request = ledger.ListCommissionRatesRequest(tier=tier)
        found = await first(services.ledger.ListCommissionRates, request, "rates", limit)
        found.sort(key=lambda one: (one.tier, one.match_kind, one.match_value, one.effective_at.ToNanoseconds()))
        if tier and not found:
            fail(f"No rate is set for a tier {tier}.")
        show_items(counted(len(found), "rate"), COLUMNS, found, _row, as_json=as_json)

    run(main)


@app.command(name="set")
def set_(
    tier: Annotated[str, typer.Argument(help="Such as gold.")],
    pct: Annotated[str, typer.Argument(help="Percent of the gross, 0 to 100, at most 4 decimals.")],
    since: FromOption,
    sku: Annotated[str, typer.Option(help="For this SKU alone.")] = "",
    sku_type: Annotated[SkuType | None, typer.Option(help="For SKUs of this type that have no rate.")] = None,
) -> None:
    """Set what partners of a tier get from a time on: of a SKU, of a type of SKUs, or of everything else."""
    if sku and sku_type is not None:
        fail("A rate is for a SKU or for a type of SKUs: give one of the two, or neither for everything else.")
    kind = "SKU" if sku else "SKU_TYPE" if sku_type is not None else "DEFAULT"
    request = ledger.SetCommissionRateRequest(
        tier=tier,
        match_kind=f"MATCH_KIND_{kind}",
        match_value=sku or (sku_type.value if sku_type is not None else ""),
        pct=decimal(pct),
        effective_at=since,
        request_id=f"rate:{uuid7()}",
    )

    async def main(services: Services) -> None:
        answer = await services.ledger.SetCommissionRate(request, timeout=CALL_TIMEOUT_S)
        print_line(f"{tier} gets {pct} % of {request.match_value or 'everything else'} from {when(since)} on.")
        if answer.tier_without_partner:
            print_line(f"No partner has the tier {answer.tier_without_partner}: nobody gets it so far.", "yellow")

    run(main)


def _row(one: ledger.CommissionRate) -> tuple[Cell, ...]:
    return (
        one.tier,
        value_word(ledger.MatchKind, one.match_kind, "MATCH_KIND_"),
        one.match_value,
        figure(one.pct),
        when(one.effective_at),
    )
