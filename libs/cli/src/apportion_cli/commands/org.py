"""`apportion org`: organisations, listed, shown and made."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion_client.names import Names
from apportion_client.pages import every
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import counted
from apportion_cli.labels import Labels
from apportion_cli.listing import (
    LIMIT,
    JsonOption,
    LimitOption,
    SearchOption,
    first,
    show_item,
    show_items,
    value_word,
    with_ids,
)
from apportion_cli.options import IdsOption
from apportion_cli.run import run

COLUMNS = ("slug", "legal name", "below", "time zone", "visibility")

app = typer.Typer(help="Organisations: the customers, and the groups that they form.", no_args_is_help=True)

OrgArgument = Annotated[str, typer.Argument(help="Slug or id of an organisation.")]
BelowOption = Annotated[str, typer.Option("--below", help="Slug or id of the organisation right above.")]


class Visibility(StrEnum):
    """Who may find an organisation."""

    PRIVATE = "private"
    PARTNERS = "partners"
    PUBLIC = "public"


_VISIBILITIES = {
    Visibility.PRIVATE: orgs.VISIBILITY_PRIVATE,
    Visibility.PARTNERS: orgs.VISIBILITY_PARTNERS,
    Visibility.PUBLIC: orgs.VISIBILITY_PUBLIC,
}


@app.command(name="list")
def list_(
    below: BelowOption = "",
    slug_prefix: Annotated[str, typer.Option("--slug-prefix", help="Only slugs that begin with this.")] = "",
    search: SearchOption = "",
    limit: LimitOption = LIMIT,
    ids: IdsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show organisations by slug."""

    async def main(services: Services) -> None:
        parent = await Names(services).org(below)
        request = orgs.ListOrgsRequest(parent_org_id=parent, slug_prefix=slug_prefix, search=search)
        found = await first(services.orgs.ListOrgs, request, "orgs", limit)
        labels = Labels(services, ids=ids)
        await labels.learn({one.parent_org_id for one in found})
        columns = with_ids(COLUMNS, "organisation", ids)
        title = counted(len(found), "organisation")
        show_items(
            title, columns, found, lambda one: (*((one.org_id,) if ids else ()), *_row(one, labels)), as_json=as_json
        )

    run(main)


@app.command()
def show(org: OrgArgument, ids: IdsOption = False, as_json: JsonOption = False) -> None:
    """Show an organisation, and which organisations are right below it."""

    async def main(services: Services) -> None:
        org_id = await Names(services).org(org)
        found = (await services.orgs.GetOrg(orgs.GetOrgRequest(org_id=org_id), timeout=CALL_TIMEOUT_S)).org
        below = await every(services.orgs.ListOrgs, orgs.ListOrgsRequest(parent_org_id=org_id), "orgs")
        labels = Labels(services, ids=ids)
        await labels.learn([found.parent_org_id])
        fields = dict(zip(COLUMNS, _row(found, labels), strict=True))
        fields |= {
            "billing email": found.billing_email,
            "tax id": found.tax_id,
            "those below": ", ".join(one.org_id if ids else one.slug for one in below),
        }
        show_item(found, {**({"id": found.org_id} if ids else {}), **fields}, as_json=as_json)

    run(main)


@app.command()
def create(
    slug: Annotated[str, typer.Argument(help="Lower-case letters, digits and hyphens; what commands call it by.")],
    name: Annotated[str, typer.Option("--name", help="Legal name; the slug where it is not given.")] = "",
    below: BelowOption = "",
    currency: Annotated[str, typer.Option(help="Of the billing account that a root gets; AUD if not given.")] = "",
    timezone: Annotated[str, typer.Option(help="IANA name, such as Australia/Sydney; UTC if not given.")] = "",
    billing_email: Annotated[str, typer.Option(help="Where bills go.")] = "",
    tax_id: Annotated[str, typer.Option(help="Tax number.")] = "",
    visibility: Annotated[Visibility, typer.Option(help="Who may find it.")] = Visibility.PRIVATE,
    owner_email: Annotated[str, typer.Option(help="Address of the first Owner.")] = "",
    ids: IdsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make an organisation: a root with a billing account, or a child below another one."""

    async def main(services: Services) -> None:
        request = orgs.CreateOrgRequest(
            legal_name=name or slug,
            slug=slug,
            parent_org_id=await Names(services).org(below),
            currency=currency,
            default_timezone=timezone,
            billing_email=billing_email,
            tax_id=tax_id,
            visibility=_VISIBILITIES[visibility],
            owner_email=owner_email,
            request_id=f"org:{uuid7()}",
        )
        made = (await services.orgs.CreateOrg(request, timeout=CALL_TIMEOUT_S)).org
        labels = Labels(services, ids=ids)
        await labels.learn([made.parent_org_id])
        fields = dict(zip(COLUMNS, _row(made, labels), strict=True))
        show_item(made, {**({"id": made.org_id} if ids else {}), **fields}, as_json=as_json)

    run(main)


def _row(one: orgs.Org, labels: Labels) -> tuple[str, ...]:
    return (
        one.slug,
        one.legal_name,
        labels[one.parent_org_id],
        one.default_timezone or "UTC",
        value_word(orgs.Visibility, one.visibility, "VISIBILITY_"),
    )
