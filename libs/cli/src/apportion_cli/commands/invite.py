"""`apportion invite`: addresses asked into an organisation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from apportion.identity.v1 import identity_service_pb2 as identity
from apportion_client.names import Names
from apportion_client.pages import every
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import counted, print_line, show_fields, show_table, when, word
from apportion_cli.members import ROLES, Role, role_word
from apportion_cli.options import OwnOrgOption, PrefixOption
from apportion_cli.run import run
from apportion_cli.secret_input import SaveOption, print_secret, read_secret

COLUMNS = ("invitation", "email", "role", "state", "created", "expires", "invited by")

app = typer.Typer(help="Addresses asked into an organisation.", no_args_is_help=True)


@app.command()
def create(
    email: Annotated[str, typer.Argument(help="Address of the person.")],
    org: OwnOrgOption,
    role: Annotated[Role, typer.Option(case_sensitive=False, help="What the person may do.")] = Role.USER,
    prefix: PrefixOption = "",
    save: SaveOption = None,
) -> None:
    """Invite an address and show the token to send it."""

    async def main(services: Services) -> None:
        names = Names(services, prefix)
        request = identity.CreateInvitationRequest(
            org_id=await names.org(org), email=email, role=ROLES[role], request_id=f"invite:{uuid7()}"
        )
        answer = await services.identity.CreateInvitation(request, timeout=CALL_TIMEOUT_S)
        _show(answer.invitation)
        print_secret("The invitation's token", answer.token, save)

    run(main)


@app.command()
def accept(
    token_file: Annotated[Path | None, typer.Option(help="File of the token; standard input otherwise.")] = None,
) -> None:
    """Become a member by an invitation's token; with a token of the invited person (APPORTION_TOKEN_FILE)."""
    token = read_secret(token_file, "invitation token")
    request = identity.AcceptInvitationRequest(token=token, request_id=f"accept:{uuid7()}")

    async def main(services: Services) -> None:
        member = (await services.identity.AcceptInvitation(request, timeout=CALL_TIMEOUT_S)).member
        show_fields({"org": member.org_id, "user": member.user_id, "email": member.email, "role": role_word(member)})

    run(main)


@app.command()
def revoke(
    invitation: Annotated[str, typer.Argument(help="Id of an invitation.")],
    org: OwnOrgOption,
    prefix: PrefixOption = "",
) -> None:
    """Take an invitation back."""

    async def main(services: Services) -> None:
        names = Names(services, prefix)
        request = identity.RevokeInvitationRequest(
            org_id=await names.org(org), invitation_id=invitation, request_id=f"uninvite:{uuid7()}"
        )
        _show((await services.identity.RevokeInvitation(request, timeout=CALL_TIMEOUT_S)).invitation)

    run(main)


@app.command(name="list")
def list_(
    org: OwnOrgOption,
    live: Annotated[bool, typer.Option("--live", help="Only those that can still be accepted.")] = False,
    prefix: PrefixOption = "",
) -> None:
    """Show an organisation's invitations, newest first."""

    async def main(services: Services) -> None:
        names = Names(services, prefix)
        request = identity.ListInvitationsRequest(org_id=await names.org(org), live_only=live)
        found = await every(services.identity.ListInvitations, request, "invitations")
        show_table(counted(len(found), "invitation"), COLUMNS, [_row(one) for one in found])

    run(main)


def _show(invitation: identity.Invitation) -> None:
    show_fields(dict(zip(COLUMNS, _row(invitation), strict=True)))
    if invitation.state == identity.INVITATION_STATE_REVOKED:
        print_line("It cannot be accepted any more.")


def _row(invitation: identity.Invitation) -> tuple[str, ...]:
    return (
        invitation.invitation_id,
        invitation.email,
        role_word(invitation),
        word(identity.InvitationState.Name(invitation.state), "INVITATION_STATE_"),
        when(invitation.created_at),
        when(invitation.expires_at),
        invitation.invited_by or "the platform",
    )
