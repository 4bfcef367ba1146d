"""How the migration commands speak: text to a terminal, one JSON object a line to anything else; and how they end."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from sqlalchemy.exc import DBAPIError

from apportion_migrate.command.exits import EXIT_AGAIN, EXIT_CONFLICTS, EXIT_FAILED
from apportion_migrate.errors import ConflictsError, LockBusyError, MigrationError, NotReachedError
from apportion_migrate.plan import Plan, PlanError, Step, load_plan
from apportion_migrate.preflight import Finding, PreflightError
from apportion_migrate.sessions import MigrationSettingError
from apportion_migrate.steps import Progress

COLOURS = {"applied": "green", "adopted": "green", "undone": "green", "already": "dim"}
WAITING_COLOUR = "yellow"
WAITING = frozenset({"waiting", "retrying"})
IDS_SHOWN_MAX = 5

JsonOption = Annotated[
    bool, typer.Option("--json", help="Write one JSON object a line, also to a terminal.", show_default=False)
]

ServicesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--service", help="A service that is meant; said again for several. The plan's services when left out."
    ),
]


class Output:
    """Says things as text to a terminal and as JSON lines to anything else."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json or not sys.stdout.isatty()
        self.console = Console(highlight=False, soft_wrap=True)

    def json(self, **fields: object) -> None:
        """Print a JSON object on a line of its own."""
        typer.echo(json.dumps(fields, separators=(",", ":")))

    def text(self, line: str) -> None:
        """Print a line for a person, in Rich's markup."""
        self.console.print(line)

    def progress(self, event: Progress) -> None:
        """Print what happened to a step."""
        step = event.step
        if self.as_json:
            self.json(event=event.kind, **step_fields(step), **event.details)
            return
        colour = WAITING_COLOUR if event.kind in WAITING else COLOURS.get(event.kind, "cyan")
        details = escape(", ".join(_shown(name, value) for name, value in event.details.items()))
        self.text(f"[{colour}]{event.kind:>9}[/] {step.number:>2} {step.service:<9} {step.revision}  [dim]{details}[/]")

    def finding(self, finding: Finding) -> None:
        """Print rows that block a revision."""
        if self.as_json:
            self.json(event="conflict", **finding.as_json())
            return
        self.text(f"[red]{finding.service} {finding.check.name}[/]: {escape(finding.check.asks)}")
        for conflict in finding.conflicts:
            ids = ", ".join(conflict.ids[:IDS_SHOWN_MAX])
            self.text(f"  {escape(conflict.key)}: {rows_text(conflict.rows)}  [dim]{escape(ids)}[/]")
        self.text(f"  {escape(finding.check.suggestion)}")
        if finding.check.resolve is not None:
            self.text(f"  [cyan]apportion-migrate resolve {finding.check.resolve}[/]")

    def failure(self, kind: str, error: Exception) -> None:
        """Print why the command ended."""
        if self.as_json:
            self.json(event=kind, error=str(error))
        else:
            typer.secho(f"{kind}: {error}", fg=typer.colors.RED, err=True)


@contextmanager
def failing_well(output: Output) -> Iterator[None]:
    """Turn what can go wrong into a message and an exit code."""
    try:
        yield
    except NotReachedError as error:
        output.failure("not reached", error)
        raise typer.Exit(EXIT_AGAIN) from error
    except LockBusyError as error:
        output.failure("locked", error)
        raise typer.Exit(EXIT_AGAIN) from error
    except ConflictsError as error:
        for finding in error.findings:
            if isinstance(finding, Finding):
                output.finding(finding)
        output.failure("conflicts", error)
        raise typer.Exit(EXIT_CONFLICTS) from error
    except (MigrationError, MigrationSettingError, PlanError, PreflightError) as error:
        output.failure("failed", error)
        raise typer.Exit(EXIT_FAILED) from error
    except DBAPIError as error:
        output.failure("failed", MigrationError(f"The database refuses: {error.orig}".strip()))
        raise typer.Exit(EXIT_FAILED) from error


def the_plan(services: Collection[str] | None = None) -> Plan:
    """Return the plan to carry out, or its part for some services; PlanError when one of them is not installed."""
    plan = load_plan()
    meant = plan.part(services) if services else plan
    meant.require_installed()
    return meant


def step_fields(step: Step) -> dict[str, object]:
    """Return a step as JSON fields."""
    return {"step": step.number, "service": step.service, "revision": step.revision, "title": step.title}


def step_text(step: Step) -> str:
    """Return a step as a line for a person."""
    return f"{step.number:>2} {step.service:<9} {step.revision}  [dim]{escape(step.title)}[/]"


def rows_text(rows: int) -> str:
    """Return a number of rows for a person."""
    return "1 row" if rows == 1 else f"{rows} rows"


def _shown(name: str, value: object) -> str:
    """Return a detail for a person, such as `took 12 ms`."""
    if name.endswith("_ms"):
        return f"{name.removesuffix('_ms')} {value} ms"
    return f"{name} {'none' if value is None else value}"
