"""`apportion sku`: the catalog of what can be metered, listed and added to."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from apportion.pricing.v1 import pricing_service_pb2 as pricing
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import counted
from apportion_cli.listing import LIMIT, JsonOption, LimitOption, first, show_item, show_items, value_word
from apportion_cli.run import run

COLUMNS = ("sku", "type", "unit")

app = typer.Typer(help="SKUs: the catalog of what can be metered.", no_args_is_help=True)


class SkuType(StrEnum):
    """What SKUs are grouped by; commission rates may name one."""

    HOSTING = "hosting"
    OBJECT = "object"
    VALIDATION = "validation"
    ACTION = "action"
    ANALYTICS = "analytics"


_TYPES = {
    SkuType.HOSTING: pricing.SKU_TYPE_HOSTING,
    SkuType.OBJECT: pricing.SKU_TYPE_OBJECT,
    SkuType.VALIDATION: pricing.SKU_TYPE_VALIDATION,
    SkuType.ACTION: pricing.SKU_TYPE_ACTION,
    SkuType.ANALYTICS: pricing.SKU_TYPE_ANALYTICS,
}


@app.command(name="list")
def list_(limit: LimitOption = LIMIT, as_json: JsonOption = False) -> None:
    """Show the catalog by SKU."""

    async def main(services: Services) -> None:
        found = await first(services.pricing.ListSkus, pricing.ListSkusRequest(), "skus", limit)
        show_items(counted(len(found), "SKU"), COLUMNS, found, _row, as_json=as_json)

    run(main)


@app.command()
def create(
    sku: Annotated[str, typer.Argument(help="Capital letters, digits and hyphens, such as ACT-SMS.")],
    kind: Annotated[SkuType, typer.Option("--type", help="What it is grouped by.")],
    unit: Annotated[str, typer.Option(help="What one of it is, in a word.")],
    as_json: JsonOption = False,
) -> None:
    """Add a SKU to the catalog."""
    request = pricing.CreateSkuRequest(
        sku=pricing.Sku(sku=sku, type=_TYPES[kind], unit=unit), request_id=f"sku:{uuid7()}"
    )

    async def main(services: Services) -> None:
        made = (await services.pricing.CreateSku(request, timeout=CALL_TIMEOUT_S)).sku
        show_item(made, dict(zip(COLUMNS, _row(made), strict=True)), as_json=as_json)

    run(main)


def _row(one: pricing.Sku) -> tuple[str, ...]:
    return one.sku, value_word(pricing.SkuType, one.type, "SKU_TYPE_"), one.unit
