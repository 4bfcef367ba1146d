"""`apportion por`: partners of record, who are credited for an organisation's or an account's spend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from apportion.ledger.v1 import ledger_service_pb2 as ledger
from apportion_client.names import Names
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import print_line, when
from apportion_cli.labels import Labels
from apportion_cli.listing import (
    LIMIT,
    AtOption,
    FromOption,
    JsonOption,
    LimitOption,
    first,
    instant,
    many,
    show_items,
    with_ids,
)
from apportion_cli.options import AccountOption, IdsOption, OrgOption
from apportion_cli.run import fail, run

COLUMNS = ("partner", "of record for", "which", "from", "until")

app = typer.Typer(help="Partners of record: who is credited for whose spend.", no_args_is_help=True)


@app.command(name="list")
def list_(
    org: OrgOption = "",
    account: AccountOption = "",
    partner: Annotated[str, typer.Option("--partner", help="Name or id of a partner.")] = "",
    at: AtOption = None,
    limit: LimitOption = LIMIT,
    ids: IdsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show who is credited for whose spend, ever or at a time."""

    async def main(services: Services) -> None:
        names = Names(services)
        kind, subject_id = await _subject(names, org, account)
        request = ledger.ListPartnersOfRecordRequest(
            subject_type=kind, subject_id=subject_id, partner_id=await names.partner(partner), at=at
        )
        found = await first(services.ledger.ListPartnersOfRecord, request, "partners_of_record", limit)
        found.sort(key=lambda one: (one.start_at.ToNanoseconds(), one.por_id))
        await _show(services, found, ids=ids, as_json=as_json)

    run(main)


@app.command()
def assign(
    partner: Annotated[str, typer.Argument(help="Name or id of a partner.")],
    since: FromOption,
    org: OrgOption = "",
    account: AccountOption = "",
    until: Annotated[
        Any, typer.Option("--until", parser=instant, metavar="TIME", help="To before when; open if not given.")
    ] = None,
    ids: IdsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Credit a partner with the spend of an organisation or of all that is billed on an account."""

    async def main(services: Services) -> None:
        names = Names(services)
        partner_id = await names.partner(partner)
        kind, subject_id = await _subject(names, org, account)
        if not subject_id:
            fail("Say whose spend the partner is credited for: --org or --account.")
        request = ledger.AssignPartnerOfRecordRequest(
            subject_type=kind,
            subject_id=subject_id,
            partner_id=partner_id,
            start_at=since,
            end_at=until,
            request_id=f"por:{uuid7()}",
        )
        made = (await services.ledger.AssignPartnerOfRecord(request, timeout=CALL_TIMEOUT_S)).partner_of_record
        await _show(services, [made], ids=ids, as_json=as_json)

    run(main)


@app.command()
def end(
    por: Annotated[str, typer.Argument(help="Id of an assignment, as `apportion por list --ids` shows it.")],
    at: Annotated[Any, typer.Option("--at", parser=instant, metavar="TIME", help="To before when it holds.")],
) -> None:
    """End an open assignment."""
    request = ledger.EndPartnerOfRecordRequest(por_id=por, end_at=at, request_id=f"end-por:{uuid7()}")

    async def main(services: Services) -> None:
        await services.ledger.EndPartnerOfRecord(request, timeout=CALL_TIMEOUT_S)
        print_line(f"It ends at {when(at)}.")

    run(main)


async def _subject(names: Names, org: str, account: str) -> tuple[ledger.SubjectType, str]:
    if org and account:
        fail("A partner is of record for an organisation or for an account: give one of --org and --account.")
    if account:
        return ledger.SUBJECT_TYPE_BILLING_ACCOUNT, await names.account(account)
    return (ledger.SUBJECT_TYPE_ORG if org else ledger.SUBJECT_TYPE_UNSPECIFIED), await names.org(org)


async def _show(services: Services, found: Sequence[ledger.PartnerOfRecord], *, ids: bool, as_json: bool) -> None:
    labels = Labels(services, ids=ids)
    await labels.learn(
        {one.subject_id for one in found if one.subject_type == ledger.SUBJECT_TYPE_ORG},
        {one.subject_id for one in found if one.subject_type == ledger.SUBJECT_TYPE_BILLING_ACCOUNT},
        {one.partner_id for one in found},
    )
    title = many(len(found), "partner of record", "partners of record")
    columns = with_ids(COLUMNS, "assignment", ids)
    show_items(title, columns, found, lambda one: _row(one, labels, ids), as_json=as_json)


def _row(one: ledger.PartnerOfRecord, labels: Labels, ids: bool) -> tuple[str, ...]:
    by_org = one.subject_type == ledger.SUBJECT_TYPE_ORG
    said = (
        labels[one.partner_id],
        "organisation" if by_org else "account",
        labels[one.subject_id],
        when(one.start_at),
        when(one.end_at),
    )
    return (one.por_id, *said) if ids else said
