"""`apportion join`: people who ask to join the company that their address falls under."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from apportion.identity.v1 import identity_service_pb2 as identity
from apportion_client.names import Names
from apportion_client.pages import every
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import counted, print_line, show_table, when, word
from apportion_cli.options import OwnOrgOption, PrefixOption
from apportion_cli.run import run

app = typer.Typer(help="People who ask to join the company that their address falls under.", no_args_is_help=True)


class Decision(StrEnum):
    """What becomes of a join request."""

    APPROVE = "approve"
    DENY = "deny"


@app.command()
def suggest(email: Annotated[str, typer.Argument(help="A sign-up address.")]) -> None:
    """Say whether a company may be found for an address; never which."""

    async def main(services: Services) -> None:
        request = identity.SuggestOrgRequest(email=email)
        answer = await services.identity.SuggestOrg(request, timeout=CALL_TIMEOUT_S)
        print_line(
            "A company may be found; one may ask to join." if answer.may_ask_to_join else "No company is suggested."
        )

    run(main)


@app.command(name="request")
def request_() -> None:
    """Ask to join the company of one's own address; with a token of the person (APPORTION_TOKEN_FILE)."""

    async def main(services: Services) -> None:
        request = identity.CreateJoinRequestRequest(request_id=f"join:{uuid7()}")
        answer = await services.identity.CreateJoinRequest(request, timeout=CALL_TIMEOUT_S)
        print_line(f"The request {answer.join_request_id} is {_state(answer.state)}; an Admin of the company decides.")

    run(main)


@app.command(name="list")
def list_(
    org: OwnOrgOption,
    pending: Annotated[bool, typer.Option("--pending", help="Only those that wait for a decision.")] = False,
    prefix: PrefixOption = "",
) -> None:
    """Show an organisation's join requests, newest first."""

    async def main(services: Services) -> None:
        names = Names(services, prefix)
        request = identity.ListJoinRequestsRequest(org_id=await names.org(org), pending_only=pending)
        found = await every(services.identity.ListJoinRequests, request, "join_requests")
        columns = ("request", "email", "state", "created", "decided", "by")
        rows = [
            (
                one.join_request_id,
                one.email,
                _state(one.state),
                when(one.created_at),
                when(one.decided_at),
                one.decided_by,
            )
            for one in found
        ]
        show_table(counted(len(found), "join request"), columns, rows)

    run(main)


@app.command()
def decide(
    join_request: Annotated[str, typer.Argument(help="Id of a join request.")],
    decision: Annotated[Decision, typer.Argument(help="What becomes of it.")],
    org: OwnOrgOption,
    prefix: PrefixOption = "",
) -> None:
    """Approve or deny a join request."""

    async def main(services: Services) -> None:
        names = Names(services, prefix)
        request = identity.DecideJoinRequestRequest(
            org_id=await names.org(org),
            join_request_id=join_request,
            approve=decision is Decision.APPROVE,
            request_id=f"decide:{uuid7()}",
        )
        decided = (await services.identity.DecideJoinRequest(request, timeout=CALL_TIMEOUT_S)).join_request
        print_line(f"The request of {decided.email} is {_state(decided.state)}.")

    run(main)


def _state(state: identity.JoinRequestState) -> str:
    return word(identity.JoinRequestState.Name(state), "JOIN_REQUEST_STATE_")
