"""`apportion mapping`: which organisation is billed on which account, and who pays."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion_client.names import Names
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import counted, when
from apportion_cli.labels import Labels
from apportion_cli.listing import LIMIT, FromOption, JsonOption, LimitOption, decimal, first, show_items, value_word
from apportion_cli.options import AccountOption, IdsOption, OrgOption
from apportion_cli.run import run

COLUMNS = ("organisation", "account", "allocation", ">owner's %", "from")

app = typer.Typer(help="Which organisation is billed on which account, and who pays.", no_args_is_help=True)


class Allocation(StrEnum):
    """Who pays an organisation's part."""

    ABSORB = "absorb"
    CHARGEBACK = "chargeback"
    SPLIT = "split"


_ALLOCATIONS = {
    Allocation.ABSORB: orgs.ALLOCATION_ABSORB,
    Allocation.CHARGEBACK: orgs.ALLOCATION_CHARGEBACK,
    Allocation.SPLIT: orgs.ALLOCATION_SPLIT,
}


@app.command(name="list")
def list_(
    org: OrgOption = "",
    account: AccountOption = "",
    limit: LimitOption = LIMIT,
    ids: IdsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show mappings in the order in which they were declared."""

    async def main(services: Services) -> None:
        names = Names(services)
        request = orgs.ListMappingsRequest(org_id=await names.org(org), billing_account_id=await names.account(account))
        found = await first(services.orgs.ListMappings, request, "mappings", limit)
        await show_mappings(found, Labels(services, ids=ids), as_json=as_json)

    run(main)


@app.command()
def create(
    org: Annotated[str, typer.Argument(help="Slug or id of the organisation that is billed.")],
    account: Annotated[str, typer.Argument(help="Name or id of the billing account, or OWNER-SLUG/NAME.")],
    allocation: Annotated[Allocation, typer.Option(help="The owner pays, the organisation does, or both.")],
    since: FromOption,
    percent: Annotated[str, typer.Option(help="The owner's part of a split.")] = "",
    ids: IdsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Bill an organisation on an account from an instant on."""

    async def main(services: Services) -> None:
        names = Names(services)
        request = orgs.MapOrgRequest(
            org_id=await names.org(org),
            billing_account_id=await names.account(account),
            allocation=_ALLOCATIONS[allocation],
            percent=decimal(percent) if percent else None,
            effective_at=since,
            request_id=f"mapping:{uuid7()}",
        )
        made = (await services.orgs.MapOrg(request, timeout=CALL_TIMEOUT_S)).mapping
        await show_mappings([made], Labels(services, ids=ids), as_json=as_json)

    run(main)


async def show_mappings(found: Sequence[orgs.BillingMapping], labels: Labels, *, as_json: bool) -> None:
    """Print mappings as a table or as JSON."""
    await labels.learn({one.org_id for one in found}, {one.billing_account_id for one in found})
    show_items(counted(len(found), "mapping"), COLUMNS, found, lambda one: _row(one, labels), as_json=as_json)


def _row(one: orgs.BillingMapping, labels: Labels) -> tuple[str, ...]:
    return (
        labels[one.org_id],
        labels[one.billing_account_id],
        value_word(orgs.Allocation, one.allocation, "ALLOCATION_"),
        one.percent.value,
        when(one.effective_at),
    )
