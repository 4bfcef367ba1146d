"""`apportion assignment`: which organisation has which plan."""

from __future__ import annotations

from typing import Annotated

import typer
from apportion.pricing.v1 import pricing_service_pb2 as pricing
from apportion_client.names import Names
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import counted, print_line, when
from apportion_cli.labels import Labels
from apportion_cli.listing import LIMIT, FromOption, JsonOption, LimitOption, first, show_items
from apportion_cli.options import IdsOption, OrgOption
from apportion_cli.run import run

COLUMNS = ("organisation", "plan", "from", "notes")

app = typer.Typer(help="Which organisation has which plan.", no_args_is_help=True)


@app.command(name="list")
def list_(
    org: OrgOption = "",
    plan: Annotated[str, typer.Option("--plan", help="Name or id of a plan.")] = "",
    limit: LimitOption = LIMIT,
    ids: IdsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show which plan organisations have, in the order in which that was said."""

    async def main(services: Services) -> None:
        names = Names(services)
        request = pricing.ListAssignmentsRequest(org_id=await names.org(org), plan_id=await names.plan(plan))
        found = await first(services.pricing.ListAssignments, request, "assignments", limit)
        labels = Labels(services, ids=ids)
        await labels.learn({one.org_id for one in found}, plan_ids={one.plan_id for one in found})
        show_items(
            counted(len(found), "assignment"),
            COLUMNS,
            found,
            lambda one: (labels[one.org_id], labels[one.plan_id], when(one.effective_at), one.notes),
            as_json=as_json,
        )

    run(main)


@app.command()
def create(
    org: Annotated[str, typer.Argument(help="Slug or id of an organisation.")],
    plan: Annotated[str, typer.Argument(help="Name or id of a plan.")],
    since: FromOption,
    notes: Annotated[str, typer.Option(help="Why, for whoever reads it later.")] = "",
) -> None:
    """Assign a plan to an organisation from the start of a month on."""

    async def main(services: Services) -> None:
        names = Names(services)
        request = pricing.AssignPlanRequest(
            org_id=await names.org(org),
            plan_id=await names.plan(plan),
            effective_at=since,
            notes=notes,
            request_id=f"assign:{uuid7()}",
        )
        await services.pricing.AssignPlan(request, timeout=CALL_TIMEOUT_S)
        print_line(f"{org} has the plan {plan} from {when(since)} on.")

    run(main)
