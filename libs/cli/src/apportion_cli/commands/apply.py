"""`apportion apply`: bring a scenario about."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer
from apportion.metering.v1.metering_service_pb2 import ClosePeriodRequest
from apportion_client.failures import retry_until_available
from apportion_client.services import CALL_TIMEOUT_S, Services

from apportion_cli import scenario
from apportion_cli.commands.close import CLOSE_TIMEOUT_S, until_closed
from apportion_cli.display import print_line, progress
from apportion_cli.options import PrefixOption
from apportion_cli.run import fail, run


def apply(
    file: Annotated[Path, typer.Argument(help="scenario.json", exists=True, dir_okay=False)],
    prefix: PrefixOption = "",
) -> None:
    """Make the organisations, plans, prices, partners and rates of a scenario. Again: changes nothing."""
    try:
        steps = scenario.steps(scenario.load(file), prefix)
    except json.JSONDecodeError as error:
        fail(f"{file} is not JSON: {error}.")
    except KeyError as error:
        fail(f"{file} is no scenario: it lacks {error}.")
    except ValueError as error:
        fail(str(error))
    run(lambda services: _apply(services, steps))


async def _apply(services: Services, steps: list[scenario.Step]) -> None:
    with progress("apply", len(steps), "calls") as bar:
        for step in steps:
            bar.show_note(step.label)
            await retry_until_available(_call(services, step), print_line)
            bar.advance(1)
        # A close comes through the lanes: usage that is sent before it is there would not be refused.
        for step in steps:
            if isinstance(step.request, ClosePeriodRequest):
                await until_closed(services, step.request.period, step.request.org_ids, CLOSE_TIMEOUT_S, bar)
    print_line(f"{len(steps)} calls applied in {bar.elapsed_s:.1f} s.")


def _call(services: Services, step: scenario.Step) -> Callable[[], Awaitable[object]]:
    method = getattr(getattr(services, step.service), step.method)
    return lambda: method(step.request, timeout=CALL_TIMEOUT_S)
