"""`apportion engine`: whether charges are stored, compared or posted."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from apportion.pricing.v1 import pricing_service_pb2 as pricing
from apportion_client.names import Names
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import counted, print_line, when
from apportion_cli.exit_codes import MISUSED
from apportion_cli.labels import Labels
from apportion_cli.listing import LIMIT, JsonOption, LimitOption, first, show_items, value_word
from apportion_cli.options import IdsOption, OrgOption
from apportion_cli.run import fail, run

COLUMNS = ("organisation", "mode", "set", "reason")
DEFAULT = "(all others)"
"""Shown for the mode of every organisation that has none of its own."""

app = typer.Typer(help="The rating engine's mode: off, shadow or live.", no_args_is_help=True)


class Mode(StrEnum):
    """What becomes of a charge."""

    OFF = "off"
    SHADOW = "shadow"
    LIVE = "live"


_MODES = {
    Mode.OFF: pricing.ENGINE_MODE_OFF,
    Mode.SHADOW: pricing.ENGINE_MODE_SHADOW,
    Mode.LIVE: pricing.ENGINE_MODE_LIVE,
}


@app.command(name="list")
def list_(org: OrgOption = "", limit: LimitOption = LIMIT, ids: IdsOption = False, as_json: JsonOption = False) -> None:
    """Show the modes that were set, newest last: the last one of an organisation holds, or else the last default."""

    async def main(services: Services) -> None:
        request = pricing.ListEngineModesRequest(org_id=await Names(services).org(org))
        found = await first(services.pricing.ListEngineModes, request, "modes", limit)
        labels = Labels(services, ids=ids)
        await labels.learn({one.org_id for one in found})
        show_items(
            counted(len(found), "mode"),
            COLUMNS,
            found,
            lambda one: (
                labels[one.org_id] or DEFAULT,
                value_word(pricing.EngineMode, one.mode, "ENGINE_MODE_"),
                when(one.set_at),
                one.override_reason,
            ),
            as_json=as_json,
        )

    run(main)


@app.command(name="set")
def set_(
    mode: Annotated[Mode, typer.Argument(help="off: nothing, shadow: stored, live: posted.")],
    org: OrgOption = "",
    everyone: Annotated[bool, typer.Option("--all", help="For all that have none of their own.")] = False,
    reason: Annotated[str, typer.Option(help="Why live goes without a parity proof, where that is allowed.")] = "",
) -> None:
    """Set the mode of an organisation, or of all that have none of their own."""
    if everyone == bool(org):
        fail("Say whose mode is meant by --org, or else --all.", MISUSED)

    async def main(services: Services) -> None:
        request = pricing.SetEngineModeRequest(
            org_id=await Names(services).org(org),
            all_orgs=everyone,
            mode=_MODES[mode],
            override_reason=reason,
            request_id=f"engine:{uuid7()}",
        )
        await services.pricing.SetEngineMode(request, timeout=CALL_TIMEOUT_S)
        print_line(f"Rating is {mode.value} for {org or 'every organisation without a mode of its own'}.")

    run(main)
