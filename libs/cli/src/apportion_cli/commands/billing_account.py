"""`apportion billing-account`: accounts that organisations are billed on, listed, shown and made."""

from __future__ import annotations

from typing import Annotated

import typer
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion_client.names import Names
from apportion_client.pages import every
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.commands.mapping import show_mappings
from apportion_cli.display import console, counted
from apportion_cli.labels import Labels
from apportion_cli.listing import (
    LIMIT,
    JsonOption,
    LimitOption,
    SearchOption,
    first,
    show_item,
    show_items,
    with_ids,
)
from apportion_cli.options import IdsOption
from apportion_cli.run import run

COLUMNS = ("account", "owner", "currency", "came by itself")

app = typer.Typer(help="Billing accounts: where the bills of a group come together.", no_args_is_help=True)

OwnerHelp = "Slug or id of the organisation that owns it."


@app.command(name="list")
def list_(
    owner: Annotated[str, typer.Option("--owner", help=OwnerHelp)] = "",
    search: SearchOption = "",
    limit: LimitOption = LIMIT,
    ids: IdsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show billing accounts in the order in which they were made."""

    async def main(services: Services) -> None:
        request = orgs.ListBillingAccountsRequest(owner_org_id=await Names(services).org(owner), search=search)
        found = await first(services.orgs.ListBillingAccounts, request, "accounts", limit)
        labels = Labels(services, ids=ids)
        await labels.learn({one.owner_org_id for one in found})
        columns = with_ids(COLUMNS, "account", ids)
        title = counted(len(found), "billing account")
        show_items(title, columns, found, lambda one: _row(one, labels, ids), as_json=as_json)

    run(main)


@app.command()
def show(
    account: Annotated[str, typer.Argument(help="Name or id of a billing account, or OWNER-SLUG/NAME.")],
    ids: IdsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show a billing account, and who is billed on it."""

    async def main(services: Services) -> None:
        account_id = await Names(services).account(account)
        request = orgs.GetBillingAccountRequest(billing_account_id=account_id)
        found = (await services.orgs.GetBillingAccount(request, timeout=CALL_TIMEOUT_S)).billing_account
        labels = Labels(services, ids=ids)
        await labels.learn([found.owner_org_id])
        columns = with_ids(COLUMNS, "account", ids)
        show_item(found, dict(zip(columns, _row(found, labels, ids), strict=True)), as_json=as_json)
        wanted = orgs.ListMappingsRequest(billing_account_id=account_id)
        mappings = await every(services.orgs.ListMappings, wanted, "mappings")
        if not as_json:
            console.print()
        await show_mappings(mappings, labels, as_json=as_json)

    run(main)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What commands and bills call it by.")],
    owner: Annotated[str, typer.Option("--owner", help=OwnerHelp)],
    currency: Annotated[str, typer.Option(help="ISO 4217, such as AUD.")],
    ids: IdsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a billing account; `apportion mapping create` bills organisations on it."""

    async def main(services: Services) -> None:
        request = orgs.CreateBillingAccountRequest(
            owner_org_id=await Names(services).org(owner),
            name=name,
            currency=currency,
            request_id=f"billing-account:{uuid7()}",
        )
        made = (await services.orgs.CreateBillingAccount(request, timeout=CALL_TIMEOUT_S)).billing_account
        labels = Labels(services, ids=ids)
        await labels.learn([made.owner_org_id])
        columns = with_ids(COLUMNS, "account", ids)
        show_item(made, dict(zip(columns, _row(made, labels, ids), strict=True)), as_json=as_json)

    run(main)


def _row(one: orgs.BillingAccount, labels: Labels, ids: bool) -> tuple[str, ...]:
    said = (one.name, labels[one.owner_org_id], one.currency, "yes" if one.is_default else "")
    return (one.billing_account_id, *said) if ids else said
