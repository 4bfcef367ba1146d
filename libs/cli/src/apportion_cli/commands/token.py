"""`apportion token`: access tokens, of the local stack's own key or from identity."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Final

import typer
from apportion.identity.v1 import identity_service_pb2 as identity
from apportion_client import naming
from apportion_client.names import Names
from apportion_client.services import CALL_TIMEOUT_S, Services

from apportion_cli.display import when
from apportion_cli.options import OrgOption, PrefixOption
from apportion_cli.run import errors, fail, run
from apportion_cli.secret_input import read_secret

app = typer.Typer(
    help="Access tokens: signed by the local stack's key where no command is named, or from identity.",
    invoke_without_command=True,
)

LOCAL: Final = "apportion.local"
"""The entry points by which the local stack, where it is installed, does what no service does."""
TOKEN_LIFE_S: Final = 900
"""Life of a token for trying things out."""

NonceOption = Annotated[str, typer.Option(help="The nonce that the sign-in was begun with, if any.")]


@app.callback()
def local(
    context: typer.Context,
    org: Annotated[str | None, typer.Option("--org", help="Slug or id of the token's organisation.")] = None,
    role: Annotated[list[str] | None, typer.Option("--role", help="A role; may be given more than once.")] = None,
    sub: Annotated[str, typer.Option("--sub", help="Whom the token speaks for.")] = "user:local",
    ttl_s: Annotated[int, typer.Option("--ttl-s", min=1, max=86_400, help="Its life in seconds.")] = TOKEN_LIFE_S,
    amr: Annotated[list[str] | None, typer.Option("--amr", help="How its holder signed in (RFC 8176).")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="The local stack's folder.")] = None,
) -> None:
    """Print a token signed by the local stack's key, for trying things out; or ask identity for one by a command."""
    if context.invoked_subcommand is not None:
        return
    found = entry_points(group=LOCAL, name="token")
    if not found:
        fail("The local stack is not installed here; 'apportion token issue' and 'exchange' ask identity for a token.")
    org_id = _org_id(org, "") if org else None
    for entry in found:
        entry.load()(org_id, role, sub, ttl_s, amr, data)


@app.command()
def issue(
    key_file: Annotated[Path | None, typer.Option(help="File of the key; standard input otherwise.")] = None,
) -> None:
    """Print a token for a service account's key."""
    request = identity.IssueTokenRequest(key=read_secret(key_file, "service account key"))

    async def main(services: Services) -> None:
        answer = await services.identity.IssueToken(request, timeout=CALL_TIMEOUT_S)
        typer.echo(answer.access_token)
        errors.print(f"It ends at {when(answer.expires_at)}.")

    run(main)


@app.command()
def exchange(
    id_token_file: Annotated[Path | None, typer.Option(help="File of the ID token; standard input otherwise.")] = None,
    org: OrgOption = "",
    nonce: NonceOption = "",
    prefix: PrefixOption = "",
) -> None:
    """Print a token for an OIDC identity token of a configured issuer."""
    id_token = read_secret(id_token_file, "identity token")
    org_id = _org_id(org, prefix) if org else ""
    request = identity.ExchangeTokenRequest(id_token=id_token, org_id=org_id, nonce=nonce)

    async def main(services: Services) -> None:
        answer = await services.identity.ExchangeToken(request, timeout=CALL_TIMEOUT_S)
        typer.echo(answer.access_token)
        errors.print(f"It speaks for user {answer.user_id} and ends at {when(answer.expires_at)}.")

    run(main)


def _org_id(org: str, prefix: str) -> str:
    """Return the id of the organisation that a token is to be bound to. An id is not asked about: one may have no token
    yet, and whoever verifies the new one says whether it is good there.
    """
    return org if naming.is_id(org) else run(lambda services: Names(services, prefix).org(org))
