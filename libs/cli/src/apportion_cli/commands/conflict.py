"""`apportion conflict`: claims of which one can stand, settled by an operator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer
from apportion.identity.v1 import identity_service_pb2 as identity
from apportion_client.pages import every
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import counted, print_line, show_fields, when, word
from apportion_cli.labels import Labels
from apportion_cli.run import run

app = typer.Typer(help="Claims of which one can stand; for operators.", no_args_is_help=True)


@app.command(name="list")
def list_(
    resolved: Annotated[bool, typer.Option("--resolved", help="Those that are settled, too.")] = False,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those past their due date.")] = False,
    proved: Annotated[bool, typer.Option("--proved", help="Only where both sides have proved the domain.")] = False,
    domain: Annotated[str, typer.Option(help="Only about this name.")] = "",
) -> None:
    """Show conflicts, those due first: who was there, who came, and who has proved the domain."""

    async def main(services: Services) -> None:
        request = identity.ListConflictsRequest(include_resolved=resolved, overdue_only=overdue)
        found = [
            one
            for one in await every(services.identity.ListConflicts, request, "conflicts")
            if (not proved or (one.claim_proved and one.against_proved))
            and (not domain or domain.lower() in (one.claim.domain, one.against.domain))
        ]
        labels = Labels(services)
        await labels.learn({claim.org_id for one in found for claim in (one.claim, one.against)})
        names = {claim.org_id: labels[claim.org_id] for one in found for claim in (one.claim, one.against)}
        print_line(counted(len(found), "conflict"), "bold")
        for one in found:
            print_line("")
            show_fields(_fields(one, names))

    run(main)


@app.command()
def resolve(
    conflict: Annotated[str, typer.Argument(help="Id of a conflict.")],
    winner: Annotated[str, typer.Option("--winner", help="Id of the claim that stands; the other one is revoked.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the audit.")],
) -> None:
    """Settle both claims of a conflict. A winner that has proved nothing becomes pending, not verified."""
    request = identity.ResolveConflictRequest(
        conflict_id=conflict, winner_claim_id=winner, reason=reason, request_id=f"resolve:{uuid7()}"
    )

    async def main(services: Services) -> None:
        show_fields(_fields((await services.identity.ResolveConflict(request, timeout=CALL_TIMEOUT_S)).conflict, {}))

    run(main)


def _fields(conflict: identity.ClaimConflict, names: Mapping[str, str]) -> dict[str, str]:
    """Return what is known of a conflict; `names` are those of organisations by id."""
    return {
        "conflict": conflict.conflict_id,
        "state": word(identity.ConflictState.Name(conflict.state), "CONFLICT_STATE_"),
        "opened": when(conflict.opened_at),
        "due": when(conflict.due_at),
        "escalated": when(conflict.escalated_at),
        "newcomer": _side(conflict.claim, conflict.claim_proved, names),
        "against": _side(conflict.against, conflict.against_proved, names),
        "resolved": when(conflict.resolved_at),
        "resolution": conflict.resolution,
        "by": conflict.resolved_by,
    }


def _side(claim: identity.DomainClaim, proved: bool, names: Mapping[str, str]) -> str:
    name = names.get(claim.org_id, claim.org_id)
    org = name if name == claim.org_id else f"{name} ({claim.org_id})"
    status = word(identity.ClaimStatus.Name(claim.status), "CLAIM_STATUS_")
    wide = " and all names below it" if claim.wildcard else ""
    return (
        f"{claim.domain}{wide}, claimed {when(claim.created_at)}, {status}, {'proved' if proved else 'not proved'}; "
        f"claim {claim.claim_id} of {org}"
    )
