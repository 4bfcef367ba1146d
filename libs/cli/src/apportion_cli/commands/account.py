"""`apportion account`: programs that may ask for tokens."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from apportion.identity.v1 import identity_service_pb2 as identity
from apportion_client.pages import every
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import counted, print_line, show_fields, show_table, when
from apportion_cli.run import run
from apportion_cli.secret_input import SaveOption, print_secret

COLUMNS = ("account", "name", "roles", "created", "by", "revoked")

app = typer.Typer(
    help="Service accounts: programs that may ask for tokens; for operators.",
    no_args_is_help=True,
)


class PlatformRole(StrEnum):
    """What a service account may be."""

    OPERATOR = "operator"
    FINANCE = "finance"
    SERVICE = "service"


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and hyphens.")],
    role: Annotated[list[PlatformRole], typer.Option(case_sensitive=False, help="A role; may be repeated.")],
    save: SaveOption = None,
) -> None:
    """Add a service account and show its key."""
    roles = sorted({one.value for one in role})
    request = identity.CreateServiceAccountRequest(name=name, roles=roles, request_id=f"account:{uuid7()}")

    async def main(services: Services) -> None:
        answer = await services.identity.CreateServiceAccount(request, timeout=CALL_TIMEOUT_S)
        show_fields(dict(zip(COLUMNS, _row(answer.account), strict=True)))
        print_secret("The account's key", answer.key, save)

    run(main)


@app.command(name="list")
def list_(revoked: Annotated[bool, typer.Option("--revoked", help="Those that have ended, too.")] = False) -> None:
    """Show service accounts, newest first."""

    async def main(services: Services) -> None:
        request = identity.ListServiceAccountsRequest(include_revoked=revoked)
        found = await every(services.identity.ListServiceAccounts, request, "accounts")
        show_table(counted(len(found), "service account"), COLUMNS, [_row(one) for one in found])

    run(main)


@app.command()
def revoke(
    account: Annotated[str, typer.Argument(help="Id of a service account.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the audit.")],
) -> None:
    """End a service account: no new token from now on, and no token of it works after a minute."""
    request = identity.RevokeServiceAccountRequest(account_id=account, reason=reason, request_id=f"revoke:{uuid7()}")

    async def main(services: Services) -> None:
        ended = (await services.identity.RevokeServiceAccount(request, timeout=CALL_TIMEOUT_S)).account
        print_line(f"{ended.name} is revoked since {when(ended.revoked_at)}; its last token ends within a minute.")

    run(main)


def _row(account: identity.ServiceAccount) -> tuple[str, ...]:
    return (
        account.account_id,
        account.name,
        ", ".join(account.roles),
        when(account.created_at),
        account.created_by,
        when(account.revoked_at),
    )
