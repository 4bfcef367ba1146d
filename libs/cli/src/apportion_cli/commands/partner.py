"""`apportion partner`: partners and their tiers, listed, shown and made."""

from __future__ import annotations

from typing import Annotated

import typer
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion_client.names import Names
from apportion_client.pages import every
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import console, counted, print_line, show_table, when
from apportion_cli.listing import (
    LIMIT,
    AtOption,
    FromOption,
    JsonOption,
    LimitOption,
    SearchOption,
    first,
    print_message,
    show_item,
    show_items,
    with_ids,
)
from apportion_cli.options import IdsOption
from apportion_cli.run import errors, run

COLUMNS = ("partner", "paid in")

app = typer.Typer(help="Partners: who gets a share of what they brought in.", no_args_is_help=True)

PartnerArgument = Annotated[str, typer.Argument(help="Name or id of a partner.")]


@app.command(name="list")
def list_(
    search: SearchOption = "", limit: LimitOption = LIMIT, ids: IdsOption = False, as_json: JsonOption = False
) -> None:
    """Show partners by name."""

    async def main(services: Services) -> None:
        found = await first(services.ledger.ListPartners, ledger.ListPartnersRequest(search=search), "partners", limit)
        found.sort(key=lambda one: (one.name.lower(), one.partner_id))
        columns = with_ids(COLUMNS, "partner", ids)
        show_items(counted(len(found), "partner"), columns, found, lambda one: _row(one, ids), as_json=as_json)

    run(main)


@app.command()
def show(partner: PartnerArgument, at: AtOption = None, ids: IdsOption = False, as_json: JsonOption = False) -> None:
    """Show a partner, its tier now or at another time, and the tiers that it ever had."""

    async def main(services: Services) -> None:
        partner_id = await Names(services).partner(partner)
        request = ledger.GetPartnerRequest(partner_id=partner_id, at=at)
        answer = await services.ledger.GetPartner(request, timeout=CALL_TIMEOUT_S)
        wanted = ledger.ListPartnerTiersRequest(partner_id=partner_id)
        tiers = await every(services.ledger.ListPartnerTiers, wanted, "tiers")
        if as_json:
            print_message(answer)
            return
        fields = dict(zip(with_ids(COLUMNS, "partner", ids), _row(answer.partner, ids), strict=True))
        show_item(answer, {**fields, "tier": answer.tier}, as_json=False)
        console.print()
        rows = [(one.tier, when(one.effective_at), str(one.revision)) for one in tiers]
        show_table(counted(len(tiers), "tier"), ("tier", "from", ">revision"), rows)

    run(main)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="As on statements, and what commands call it by.")],
    currency: Annotated[str, typer.Option(help="ISO 4217: in which it is paid.")],
    tier: Annotated[str, typer.Option(help="Its first tier, such as gold; rates go by tier.")],
    since: FromOption,
    ids: IdsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a partner with its first tier."""
    request = ledger.CreatePartnerRequest(
        name=name, payout_currency=currency, tier=tier, effective_at=since, request_id=f"partner:{uuid7()}"
    )

    async def main(services: Services) -> None:
        answer = await services.ledger.CreatePartner(request, timeout=CALL_TIMEOUT_S)
        made = answer.partner
        show_item(made, dict(zip(with_ids(COLUMNS, "partner", ids), _row(made, ids), strict=True)), as_json=as_json)
        _tell_unrated(answer.tier_without_rate)

    run(main)


@app.command(name="tier")
def tier_(
    partner: PartnerArgument,
    tier: Annotated[str, typer.Argument(help="Such as gold.")],
    since: FromOption,
) -> None:
    """Set a partner's tier from a time on."""

    async def main(services: Services) -> None:
        request = ledger.SetPartnerTierRequest(
            partner_id=await Names(services).partner(partner),
            tier=tier,
            effective_at=since,
            request_id=f"tier:{uuid7()}",
        )
        answer = await services.ledger.SetPartnerTier(request, timeout=CALL_TIMEOUT_S)
        print_line(f"{partner} is {tier} from {when(since)} on.")
        _tell_unrated(answer.tier_without_rate)

    run(main)


def _tell_unrated(tier: str) -> None:
    """Say, apart from the answer, that no rate is set for a tier; nothing for an empty one."""
    if tier:
        errors.print(f"No rate is set for the tier {tier}: it gets nothing so far.", style="yellow")


def _row(one: ledger.Partner, ids: bool) -> tuple[str, ...]:
    return (one.partner_id, one.name, one.payout_currency) if ids else (one.name, one.payout_currency)
