"""`apportion apply`: bring a scenario about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import grpc
import typer
from apportion.metering.v1.metering_service_pb2 import ClosePeriodRequest
from apportion_client.failures import OutageTooLongError, describe, retry_until_available
from apportion_client.services import CALL_TIMEOUT_S, Services
from apportion_common.grpc.interceptors.validation import check
from apportion_common.grpc.status import RequestInvalid

from apportion_cli import scenario
from apportion_cli.commands.close import CLOSE_TIMEOUT_S, until_closed
from apportion_cli.display import counted, print_line, progress
from apportion_cli.options import PrefixOption
from apportion_cli.run import fail, run


def apply(
    file: Annotated[Path, typer.Argument(help="scenario.json", exists=True, dir_okay=False)],
    prefix: PrefixOption = "",
) -> None:
    """Make the organisations, plans, prices, partners and rates of a scenario. Again: changes nothing.

    The whole file is checked before anything is sent. One that ends half-way goes on when it is applied again, also
    after it was mended. docs/your-own-product.md describes the file.
    """
    try:
        steps = scenario.steps(scenario.load(file), prefix)
    except scenario.ScenarioProblem as problem:
        fail(str(problem))
    problems = [problem for number, step in enumerate(steps, 1) for problem in _problems(number, step)]
    if problems:
        told = "\n".join(f"  {problem}" for problem in problems[: scenario.PROBLEMS_MAX])
        fail(f"{file} is no scenario that can be applied; nothing was sent:\n{told}")
    run(lambda services: _apply(services, steps))


def _problems(number: int, step: scenario.Step) -> list[str]:
    """Return in which fields a call breaks the rules of its contract."""
    try:
        check(step.request)
    except RequestInvalid as invalid:
        return [f"step {number}, {step.label}: {field}: {why}" for field, why in invalid.violations]
    return []


async def _apply(services: Services, steps: list[scenario.Step]) -> None:
    with progress("apply", len(steps), "calls") as bar:
        for number, step in enumerate(steps, 1):
            bar.show_note(step.label)
            try:
                await retry_until_available(_call(services, step), print_line)
            except (grpc.aio.AioRpcError, OutageTooLongError) as error:
                why = describe(error) if isinstance(error, grpc.aio.AioRpcError) else str(error)
                fail(
                    f"Step {number} of {len(steps)}, {step.label}, was refused: {why}\n"
                    f"{counted(number - 1, 'step')} before it applied. Mend the cause or the file and apply it again: "
                    "what is applied already stays as it is."
                )
            bar.advance(1)
        # A close comes through the lanes: usage that is sent before it is there would not be refused.
        for step in steps:
            if isinstance(step.request, ClosePeriodRequest):
                await until_closed(services, step.request.period, step.request.org_ids, CLOSE_TIMEOUT_S, bar)
    print_line(f"{counted(len(steps), 'call')} applied in {bar.elapsed_s:.1f} s.")


def _call(services: Services, step: scenario.Step) -> Callable[[], Awaitable[object]]:
    method = getattr(getattr(services, step.service), step.method)
    return lambda: method(step.request, timeout=CALL_TIMEOUT_S)
