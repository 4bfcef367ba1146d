"""`apportion plan`: plans, their prices now and over time, listed, shown, made and changed."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from apportion.pricing.v1 import pricing_service_pb2 as pricing
from apportion_client.names import Names
from apportion_client.pages import every
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import Cell, console, counted, figure, money, print_line, show_fields, show_table, when
from apportion_cli.listing import (
    LIMIT,
    AtOption,
    FromOption,
    JsonOption,
    LimitOption,
    SearchOption,
    decimal,
    first,
    print_message,
    show_items,
    value_word,
    with_ids,
)
from apportion_cli.options import IdsOption
from apportion_cli.run import run

COLUMNS = ("plan", "currency", "base price")
ROWS = ("sku", "charge model", ">included", ">price", "tiers")

app = typer.Typer(help="Plans: what usage costs.", no_args_is_help=True)

PlanArgument = Annotated[str, typer.Argument(help="Name or id of a plan.")]


class Model(StrEnum):
    """How a quantity becomes an amount."""

    PER_UNIT = "per_unit"
    GRADUATED = "graduated"


_MODELS = {
    Model.PER_UNIT: pricing.CHARGE_MODEL_PER_UNIT,
    Model.GRADUATED: pricing.CHARGE_MODEL_GRADUATED,
}


def tier(text: str) -> pricing.Tier:
    """Return a tier that is written THRESHOLD:PRICE. BadParameter."""
    threshold, _, price = text.partition(":")
    if not threshold or not price:
        raise typer.BadParameter(f"{text} is no tier: say THRESHOLD:PRICE, such as 1000:0.015.")
    return pricing.Tier(threshold=decimal(threshold), price=decimal(price))


@app.command(name="list")
def list_(
    search: SearchOption = "", limit: LimitOption = LIMIT, ids: IdsOption = False, as_json: JsonOption = False
) -> None:
    """Show plans by name."""

    async def main(services: Services) -> None:
        found = await first(services.pricing.ListPlans, pricing.ListPlansRequest(search=search), "plans", limit)
        columns = with_ids(COLUMNS, "plan", ids)
        show_items(counted(len(found), "plan"), columns, found, lambda one: _row(one, ids), as_json=as_json)

    run(main)


@app.command()
def show(
    plan: PlanArgument,
    at: AtOption = None,
    history: Annotated[bool, typer.Option("--history", help="What held when, and what will.")] = False,
    ids: IdsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show a plan and what its SKUs cost now, at another time, or over time."""

    async def main(services: Services) -> None:
        plan_id = await Names(services).plan(plan)
        request = pricing.GetPlanRequest(plan_id=plan_id, at=at)
        found = (await services.pricing.GetPlan(request, timeout=CALL_TIMEOUT_S)).plan
        rows = []
        if history:
            rows = await every(services.pricing.ListPlanRows, pricing.ListPlanRowsRequest(plan_id=plan_id), "rows")
        if as_json:
            for message in rows or [found]:
                print_message(message)
            return
        show_fields(dict(zip(with_ids(COLUMNS, "plan", ids), _row(found, ids), strict=True)))
        console.print()
        title = f"Prices, amounts in {found.currency}"
        if history:
            cells = [(*_price(one.row, found.currency), when(one.effective_at), str(one.revision)) for one in rows]
            show_table(title, (*ROWS, "from", ">revision"), cells)
        else:
            show_table(title, ROWS, [_price(row, found.currency) for row in found.rows])

    run(main)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What commands call it by; unique.")],
    currency: Annotated[str, typer.Option(help="ISO 4217, such as AUD.")],
    since: FromOption,
    ids: IdsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a plan without prices; `apportion plan price` adds them."""
    request = pricing.CreatePlanRequest(name=name, currency=currency, effective_at=since, request_id=f"plan:{uuid7()}")

    async def main(services: Services) -> None:
        made = (await services.pricing.CreatePlan(request, timeout=CALL_TIMEOUT_S)).plan
        if as_json:
            print_message(made)
        else:
            show_fields(dict(zip(with_ids(COLUMNS, "plan", ids), _row(made, ids), strict=True)))

    run(main)


@app.command()
def price(
    plan: PlanArgument,
    sku: Annotated[str, typer.Argument(help="SKU, such as ACT-SMS.")],
    price: Annotated[str, typer.Argument(help="Price of a unit beyond the included ones.")],
    since: FromOption,
    model: Annotated[Model, typer.Option(help="How a quantity becomes an amount.")] = Model.PER_UNIT,
    included: Annotated[str, typer.Option(help="Units of a month that cost nothing.")] = "0",
    tiers: Annotated[
        list[pricing.Tier] | None,
        typer.Option(
            "--tier",
            parser=tier,
            metavar="THRESHOLD:PRICE",
            help="Above so many units beyond the included ones, this price; graduated only, may be repeated.",
        ),
    ] = None,
) -> None:
    """Set what a SKU costs in a plan from a time on; what held before still prices the past."""

    async def main(services: Services) -> None:
        request = pricing.SetPlanSkuRequest(
            plan_id=await Names(services).plan(plan),
            row=pricing.PlanSku(
                sku=sku,
                charge_model=_MODELS[model],
                included_qty=decimal(included),
                overage_price=decimal(price),
                tiers=tiers or [],
            ),
            effective_at=since,
            request_id=f"price:{uuid7()}",
        )
        await services.pricing.SetPlanSku(request, timeout=CALL_TIMEOUT_S)
        print_line(f"{sku} costs {price} in {plan} from {when(since)} on.")

    run(main)


def _row(one: pricing.Plan, ids: bool) -> tuple[str, ...]:
    said = (one.name, one.currency, money(one.base_price) if one.HasField("base_price") else "")
    return (one.plan_id, *said) if ids else said


def _price(row: pricing.PlanSku, currency: str) -> tuple[Cell, ...]:
    return (
        row.sku,
        value_word(pricing.ChargeModel, row.charge_model, "CHARGE_MODEL_"),
        figure(row.included_qty),
        figure(row.overage_price, currency),
        ", ".join(f"above {one.threshold.value}: {one.price.value}" for one in row.tiers),
    )
