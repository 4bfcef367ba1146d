"""`apportion apply`: bring a scenario about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from apportion_cli import scenario
from apportion_cli.client import CALL_TIMEOUT_S, Services, fail, patiently, run
from apportion_cli.display import progress


def apply(
    file: Annotated[Path, typer.Argument(help="scenario.json", exists=True, dir_okay=False)],
    prefix: Annotated[str, typer.Option(help="put before every organisation's code")] = "",
) -> None:
    """Make the organisations, plans, prices, partners and rates of a scenario. Again: changes nothing."""
    try:
        steps = scenario.steps(scenario.load(file), prefix)
    except (ValueError, KeyError, json.JSONDecodeError) as error:
        fail(f"{file}: {error}")
    run(lambda services: _apply(services, steps))


async def _apply(services: Services, steps: list[scenario.Step]) -> None:
    with progress("apply", len(steps), "calls") as bar:
        for step in steps:
            call = getattr(getattr(services, step.service), step.method)
            bar.say(step.label)
            await patiently(lambda c=call, s=step: c(s.request, timeout=CALL_TIMEOUT_S), bar.say)  # type: ignore[misc]
            bar.advance(1)
    print(f"{len(steps)} calls applied.")
