"""`apportion setting`: what operators change at run time."""

from __future__ import annotations

from typing import Annotated

import typer
from apportion.identity.v1 import identity_service_pb2 as identity
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.ids import uuid7

from apportion_cli.display import counted, show_fields, show_table, when
from apportion_cli.run import run

EMPTY = "(none)"
"""Shown for a list of nothing."""

app = typer.Typer(help="What operators change at run time.", no_args_is_help=True)

KeyArgument = Annotated[str, typer.Argument(help="Such as invite_daily_limit.")]


@app.command(name="list")
def list_() -> None:
    """Show all settings."""

    async def main(services: Services) -> None:
        request = identity.ListGlobalSettingsRequest()
        found = (await services.identity.ListGlobalSettings(request, timeout=CALL_TIMEOUT_S)).settings
        rows = [(one.key, one.value or EMPTY, one.value_type, _changed(one), one.description) for one in found]
        show_table(counted(len(found), "setting"), ("key", "value", "type", "changed", "what it is"), rows)

    run(main)


@app.command()
def get(key: KeyArgument) -> None:
    """Show a setting."""

    async def main(services: Services) -> None:
        request = identity.GetGlobalSettingRequest(key=key)
        _show((await services.identity.GetGlobalSetting(request, timeout=CALL_TIMEOUT_S)).setting)

    run(main)


@app.command(name="set")
def set_(
    key: KeyArgument,
    value: Annotated[str, typer.Argument(help="The new value; a list's items are separated by commas.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the audit.")],
) -> None:
    """Change a setting; it acts within seconds, without a restart."""
    request = identity.SetGlobalSettingRequest(key=key, value=value, reason=reason, request_id=f"setting:{uuid7()}")

    async def main(services: Services) -> None:
        _show((await services.identity.SetGlobalSetting(request, timeout=CALL_TIMEOUT_S)).setting)

    run(main)


def _show(setting: identity.GlobalSetting) -> None:
    show_fields(
        {
            "key": setting.key,
            "value": setting.value or EMPTY,
            "type": setting.value_type,
            "changed": _changed(setting),
            "what it is": setting.description,
        }
    )


def _changed(setting: identity.GlobalSetting) -> str:
    return when(setting.updated_at) or "never, the default"
