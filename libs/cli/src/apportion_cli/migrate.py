"""`python -m apportion_cli.migrate`: the services' schema changes in the plan's order, as one command.

It needs only <SERVICE>_MIGRATION_DATABASE_URL of the five services. For a person at a terminal it writes text,
otherwise one JSON object a line. Exit codes: 0 done, 1 failed, 75 another run holds a lock (try again later).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from apportion_common.migrations import conductor
from apportion_common.migrations.conductor import (
    EXIT_FAILED,
    EXIT_LOCKED,
    LOCK_WAIT_S,
    LockBusyError,
    MigrationError,
    Progress,
)
from apportion_common.migrations.environment import MigrationSettingError
from apportion_common.migrations.plan import Plan, PlanError, Step, find_root, load_plan
from rich.console import Console

LOCK_WAIT_MAX_S = 3600
COLOURS = {"applied": "green", "already": "dim", "waiting": "yellow", "retrying": "yellow"}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Migrate the databases of the five services.",
)

JsonOption = Annotated[
    bool, typer.Option("--json", help="Write one JSON object a line, also to a terminal.", show_default=False)
]


class Output:
    """Says things as text to a terminal and as JSON lines to anything else."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json or not sys.stdout.isatty()
        self.console = Console(highlight=False, soft_wrap=True)

    def json(self, **fields: object) -> None:
        """One JSON object on a line of its own."""
        typer.echo(json.dumps(fields, separators=(",", ":")))

    def text(self, line: str) -> None:
        """One line for a person, in Rich's markup."""
        self.console.print(line)

    def progress(self, event: Progress) -> None:
        """What happened to a step."""
        step = event.step
        if self.as_json:
            self.json(event=event.kind, **_step_fields(step), **event.details)
            return
        colour = COLOURS.get(event.kind, "cyan")
        details = ", ".join(_shown(name, value) for name, value in event.details.items())
        self.text(f"[{colour}]{event.kind:>9}[/] {step.number:>2} {step.service:<9} {step.revision}  [dim]{details}[/]")

    def failure(self, kind: str, error: Exception) -> None:
        """Why the command ended."""
        if self.as_json:
            self.json(event=kind, error=str(error))
        else:
            typer.secho(f"{kind}: {error}", fg=typer.colors.RED, err=True)


@app.command()
def up(
    as_json: JsonOption = False,
    lock_wait_s: Annotated[
        int, typer.Option(min=0, max=LOCK_WAIT_MAX_S, help="Longest wait for another run's lock, in seconds.")
    ] = LOCK_WAIT_S,
) -> None:
    """Bring every service to the end of the plan; what is done already is left alone."""
    output = Output(as_json=as_json)
    with _failing_well(output):
        conductor.up(_plan(), report=output.progress, lock_wait_s=lock_wait_s)


@app.command()
def status(as_json: JsonOption = False) -> None:
    """Show where every service stands; changes nothing."""
    output = Output(as_json=as_json)
    with _failing_well(output):
        found = conductor.status(_plan())
        if output.as_json:
            for state in found.steps:
                version = found.versions[state.step.service]
                output.json(event="step", **_step_fields(state.step), done=state.done, version=version)
            output.json(event="status", complete=found.complete)
            return
        for state in found.steps:
            shown = "[green]done [/]" if state.done else "[yellow]to do[/]"
            output.text(f"{shown} {_step_text(state.step)}")


@app.command()
def plan(as_json: JsonOption = False) -> None:
    """Show the steps in their order; needs no database."""
    output = Output(as_json=as_json)
    with _failing_well(output):
        found = _plan()
        found.check()
        for step in found.steps:
            if output.as_json:
                output.json(event="step", **_step_fields(step))
            else:
                output.text(_step_text(step))


@app.command()
def sql() -> None:
    """Write the SQL of the whole plan, from empty databases on; needs no database."""
    with _failing_well(Output(as_json=False)):
        for step, text in conductor.sql(_plan()):
            typer.echo(f"-- Step {step.number}: {step.service} to {step.revision} ({step.title})\n{text}")


@contextmanager
def _failing_well(output: Output) -> Iterator[None]:
    """Turn what can go wrong into a message and an exit code."""
    try:
        yield
    except LockBusyError as error:
        output.failure("locked", error)
        raise typer.Exit(EXIT_LOCKED) from error
    except (MigrationError, MigrationSettingError, PlanError) as error:
        output.failure("failed", error)
        raise typer.Exit(EXIT_FAILED) from error


def _plan() -> Plan:
    return load_plan(find_root())


def _step_fields(step: Step) -> dict[str, object]:
    return {"step": step.number, "service": step.service, "revision": step.revision, "title": step.title}


def _step_text(step: Step) -> str:
    return f"{step.number:>2} {step.service:<9} {step.revision}  [dim]{step.title}[/]"


def _shown(name: str, value: object) -> str:
    """A detail for a person, such as `took 12 ms`."""
    if name.endswith("_ms"):
        return f"{name.removesuffix('_ms')} {value} ms"
    return f"{name} {'none' if value is None else value}"


if __name__ == "__main__":
    app(prog_name="apportion-migrate")
