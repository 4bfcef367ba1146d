"""`apportion conflict`: claims of which one can stand, settled by an operator."""

from __future__ import annotations

from typing import Annotated

import typer
from apportion.identity.v1 import identity_service_pb2 as identity
from apportion_common.ids import uuid7

from apportion_cli.client import CALL_TIMEOUT_S, Services, run
from apportion_cli.display import say, show_facts, when, word
from apportion_cli.labels import Labels
from apportion_cli.paging import every

app = typer.Typer(help="Claims of which one can stand; for operators.", no_args_is_help=True)


@app.command(name="list")
def list_(
    resolved: Annotated[bool, typer.Option("--resolved", help="Those that are settled, too.")] = False,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those past their due date.")] = False,
) -> None:
    """Show conflicts, those due first: who was there, who came, and who has proved the domain."""

    async def main(services: Services) -> None:
        request = identity.ListConflictsRequest(include_resolved=resolved, overdue_only=overdue)
        found = await every(services.identity.ListConflicts, request, "conflicts")
        labels = Labels(services)
        await labels.learn({claim.org_id for one in found for claim in (one.claim, one.against)})
        say(f"{len(found)} conflicts", "bold")
        for one in found:
            say("")
            show_facts(
                {
                    "conflict": one.conflict_id,
                    "domain": one.claim.domain,
                    "state": word(identity.ConflictState.Name(one.state), "CONFLICT_STATE_"),
                    "due": when(one.due_at),
                    "escalated": when(one.escalated_at),
                    "newcomer": _side(labels, one.claim, one.claim_proved),
                    "against": _side(labels, one.against, one.against_proved),
                    "resolution": one.resolution,
                    "by": one.resolved_by,
                }
            )

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
        one = (await services.identity.ResolveConflict(request, timeout=CALL_TIMEOUT_S)).conflict
        show_facts(
            {
                "conflict": one.conflict_id,
                "domain": one.claim.domain,
                one.claim.claim_id: _standing(one.claim, one.claim_proved),
                one.against.claim_id: _standing(one.against, one.against_proved),
                "resolution": one.resolution,
                "by": one.resolved_by,
            }
        )

    run(main)


def _side(labels: Labels, claim: identity.DomainClaim, proved: bool) -> str:
    return f"{labels[claim.org_id]}, claim {claim.claim_id}: {_standing(claim, proved)}"


def _standing(claim: identity.DomainClaim, proved: bool) -> str:
    status = word(identity.ClaimStatus.Name(claim.status), "CLAIM_STATUS_")
    return f"{status}, {'proved' if proved else 'not proved'}"
