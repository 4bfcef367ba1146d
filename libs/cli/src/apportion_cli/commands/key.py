"""`apportion key`: the keys that tokens are signed with."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from apportion.identity.v1 import identity_service_pb2 as identity
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import counted, print_line, show_table, when
from apportion_cli.run import run

app = typer.Typer(help="The keys that tokens are signed with.", no_args_is_help=True)


@app.command(name="list")
def list_() -> None:
    """Show the public keys that tokens are verified with."""

    async def main(services: Services) -> None:
        answer = await services.identity.GetJwks(identity.GetJwksRequest(), timeout=CALL_TIMEOUT_S)
        keys = json.loads(answer.jwks_json)["keys"]
        rows = [(key.get("kid", ""), key.get("alg", ""), key.get("kty", ""), key.get("crv", "")) for key in keys]
        show_table(counted(len(keys), "key"), ("kid", "algorithm", "type", "curve"), rows)

    run(main)


@app.command()
def rotate(
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the audit.")],
    leaked: Annotated[bool, typer.Option("--leaked", help="Remove all other keys at once, with their tokens.")] = False,
) -> None:
    """Make a new signing key; no token that is in use stops working, unless a key has leaked."""
    request = identity.RotateSigningKeyRequest(reason=reason, leaked=leaked, request_id=f"rotate:{uuid7()}")

    async def main(services: Services) -> None:
        answer = await services.identity.RotateSigningKey(request, timeout=CALL_TIMEOUT_S)
        print_line(f"The key {answer.kid} is published and signs from {when(answer.signs_from)} on.")

    run(main)
