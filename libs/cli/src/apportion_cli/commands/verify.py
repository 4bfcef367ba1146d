"""`apportion verify`: compare every expected figure of a scenario with the live services."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from apportion_client.services import Services

from apportion_cli import scenario
from apportion_cli.display import print_line, progress
from apportion_cli.ingest.rows import FileProblem, Row, RowRejected, read_rows
from apportion_cli.options import PrefixOption
from apportion_cli.run import fail, run
from apportion_cli.verify.collect import Collected, collect, names_of
from apportion_cli.verify.expected import expected_figures
from apportion_cli.verify.figures import compare
from apportion_cli.verify.found import found_figures
from apportion_cli.verify.show import show

PERIOD_CHARS = len("2013-01")


def verify(
    file: Annotated[Path, typer.Argument(metavar="SCENARIO.json", exists=True, dir_okay=False)],
    events: Annotated[Path, typer.Argument(metavar="EVENTS", exists=True, dir_okay=False)],
    prefix: PrefixOption = "",
    brief: Annotated[bool, typer.Option("--brief", help="Print only the figures that differ.")] = False,
) -> None:
    """Compare every expected figure with the services, after ingest, sweeps and invoices. Exit code 1 on a difference.

    Partners are the same under every prefix: their figures are right where one prefix was ingested.
    """
    try:
        content = scenario.load(file)
        expected = expected_figures(content)
        rows = list(read_rows(events))
        told = run(lambda services: _collect(services, content, rows, prefix))
        found = found_figures(content, rows, told)
    except KeyError as error:
        fail(f"{file} is no scenario with expected figures: it lacks {error}.")
    except RowRejected as rejected:
        fail(f"{events} has a row that can be no event: {rejected.message}")
    except (FileProblem, ValueError) as problem:
        fail(str(problem))
    count, wrong = show(compare(expected, found), brief=brief)
    if wrong:
        fail(f"{wrong:,} of {count:,} figures differ.")
    print_line(f"All {count:,} figures are right.", "bold green")


async def _collect(services: Services, content: dict[str, Any], rows: list[Row], prefix: str) -> Collected:
    names = names_of(content, rows, prefix)
    period = content["period"]["start"][:PERIOD_CHARS]
    with progress("verify", None, "events and lines") as bar:
        return await collect(services, names, rows, period, prefix, bar)
