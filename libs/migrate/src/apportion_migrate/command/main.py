"""`apportion-migrate`: the services' schema changes in the plan's order, as one command.

It needs only <SERVICE>_MIGRATION_DATABASE_URL of the plan's services, all of which must be installed; --service names
some of them, and then only these are needed. For a person at a terminal it writes text, otherwise one JSON object a
line. Exit codes: 0 done, 1 failed, 2 called wrongly, 3 rows are blocking (nothing was changed), 75 another run holds
a lock, or the time is not yet come (try again later).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from apportion_migrate import conductor, lint
from apportion_migrate.command import data_commands, preflight_commands, resolve_commands, seed_commands
from apportion_migrate.command.data_commands import waiting_data
from apportion_migrate.command.exits import EXIT_FAILED
from apportion_migrate.command.output import (
    JsonOption,
    Output,
    ServicesOption,
    failing_well,
    step_fields,
    step_text,
    the_plan,
)
from apportion_migrate.conductor import WAIT_S
from apportion_migrate.locks import LOCK_WAIT_S
from apportion_migrate.revision import notes_of

LOCK_WAIT_MAX_S = 3600
WAIT_MAX_S = 86_400

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Migrate the services' databases, named by <SERVICE>_MIGRATION_DATABASE_URL; some of them with --service.",
    epilog="Ends with 0 when done, 1 when failed, 2 when called wrongly, 3 when rows are blocking (nothing was"
    " changed; see preflight and resolve), 75 when another run holds a lock or the time is not yet come (try again).",
)

LockWaitOption = Annotated[
    int, typer.Option(min=0, max=LOCK_WAIT_MAX_S, help="Longest wait for another run's lock, in seconds.")
]


@app.command()
def up(
    to: Annotated[str | None, typer.Option(help="The revision to stop after; the plan's end when left out.")] = None,
    services: ServicesOption = None,
    as_json: JsonOption = False,
    lock_wait_s: LockWaitOption = LOCK_WAIT_S,
) -> None:
    """Ask all pre-flight checks, bring every service to the end of the plan, and see that all is sound."""
    output = Output(as_json=as_json)
    with failing_well(output):
        found = the_plan(services)
        conductor.up(found, to=to, report=output.progress, lock_wait_s=lock_wait_s)
        if not output.as_json:
            output.text(f"[green]done[/]: {len(found.steps_to(to))} of {len(found.steps)} steps, and all is sound")
            _hint_at_data(output, waiting_data(found))


@app.command()
def down(
    to: Annotated[str, typer.Option(help='The revision to go back to, which stays; or "base" for nothing at all.')],
    destroy: Annotated[
        list[str] | None,
        typer.Option(help="A revision whose undoing loses what nothing brings back: the word that allows it."),
    ] = None,
    services: ServicesOption = None,
    as_json: JsonOption = False,
    lock_wait_s: LockWaitOption = LOCK_WAIT_S,
) -> None:
    """Undo steps in the reverse order of the plan; where rows or more would be lost, the revision must be named."""
    output = Output(as_json=as_json)
    with failing_well(output):
        conductor.down(
            the_plan(services), to=to, destroy=destroy or (), report=output.progress, lock_wait_s=lock_wait_s
        )


@app.command()
def status(services: ServicesOption = None, as_json: JsonOption = False) -> None:
    """Show where every service stands, and what is amiss; changes nothing."""
    output = Output(as_json=as_json)
    with failing_well(output):
        found = conductor.status(the_plan(services))
        waiting = waiting_data(the_plan(services))
        if output.as_json:
            for state in found.steps:
                version = found.versions[state.step.service]
                marks = {"done": state.done, "adopted": state.adopted, "standing": state.standing}
                output.json(event="step", **step_fields(state.step), **marks, version=version)
            output.json(event="status", complete=found.complete, amiss=list(found.amiss), data_waiting=waiting)
            return
        for state in found.steps:
            shown = "[green]done [/]" if state.done else "[yellow]to do[/]"
            mark = (
                " [dim](adopted)[/]" if state.adopted else " [dim](stands: to be adopted)[/]" if state.standing else ""
            )
            output.text(f"{shown} {step_text(state.step)}{mark}")
        for line in found.amiss:
            output.text(f"[red]amiss[/] {line}")
        done = sum(state.done for state in found.steps)
        colour = "green" if found.complete else "yellow"
        output.text(f"[{colour}]{done} of {len(found.steps)} steps done[/], {len(found.amiss)} amiss")
        _hint_at_data(output, waiting)


@app.command()
def plan(services: ServicesOption = None, as_json: JsonOption = False) -> None:
    """Show the steps in their order, with what each says of itself; needs no database."""
    output = Output(as_json=as_json)
    with failing_well(output):
        found = the_plan(services)
        found.check()
        for step in found.steps:
            notes = notes_of(found.revision_of(step))
            said: dict[str, object] = {}
            if notes is not None:
                said = {
                    "phase": notes.phase,
                    "lock_class": notes.lock_class,
                    "reversible": notes.reversible,
                    "checks": [check.name for check in notes.checks],
                    "data": list(notes.data),
                }
            if output.as_json:
                output.json(event="step", **step_fields(step), **said)
            else:
                output.text(step_text(step))
                if notes is not None:
                    back = "reversible" if notes.reversible else "irreversible"
                    asked = f"{len(notes.checks)} checks"
                    rows = f", then data: {', '.join(notes.data)}" if notes.data else ""
                    output.text(f"   [dim]{notes.phase}, lock {notes.lock_class}, {back}, {asked}{rows}[/]")


@app.command()
def sql(
    to: Annotated[str | None, typer.Option(help="The revision to stop after; the plan's end when left out.")] = None,
    services: ServicesOption = None,
) -> None:
    """Write the SQL of the plan, from empty databases on; needs no database."""
    with failing_well(Output(as_json=False)):
        for step, text in conductor.sql(the_plan(services), to):
            typer.echo(f"-- Step {step.number}: {step.service} to {step.revision} ({step.title})\n{text}")


@app.command(name="lint")
def lint_command(as_json: JsonOption = False) -> None:
    """Look for what is unsafe in the SQL and the notes of every revision, in a checkout; needs no database."""
    output = Output(as_json=as_json)
    with failing_well(output):
        found = lint.lint(the_plan(), Path.cwd())
        for complaint in found:
            if output.as_json:
                output.json(event="complaint", **complaint.as_json())
            else:
                output.text(complaint.as_text().replace("[", "\\["))
        if found:
            raise typer.Exit(EXIT_FAILED)
        if output.as_json:
            output.json(event="clean", revisions=len(the_plan().steps))
        else:
            output.text("[green]clean[/]")


@app.command()
def wait(
    service: Annotated[str, typer.Option(help="The service that waits.")],
    at_least: Annotated[str, typer.Option(help="The revision that its database must have.")],
    url_variable: Annotated[
        str | None, typer.Option(help="The variable with the URL; <SERVICE>_MIGRATION_DATABASE_URL when left out.")
    ] = None,
    wait_s: Annotated[int, typer.Option(min=0, max=WAIT_MAX_S, help="Longest wait, in seconds.")] = WAIT_S,
    as_json: JsonOption = False,
) -> None:
    """Wait until a service's database has a revision: for what starts before the migration is through. Only reads."""
    output = Output(as_json=as_json)

    def told(why: str) -> None:
        if output.as_json:
            output.json(event="waiting", service=service, revision=at_least, why=why)
        else:
            typer.echo(f"waiting for {service} {at_least}: {why}")

    with failing_well(output):
        conductor.wait(the_plan([service]), service, at_least, url_variable=url_variable, wait_s=wait_s, on_wait=told)
        if output.as_json:
            output.json(event="reached", service=service, revision=at_least)


def _hint_at_data(output: Output, waiting: list[str]) -> None:
    """Say which data migrations are still to be run, for a person."""
    if waiting:
        output.text(f"rows to be brought along yet: {', '.join(waiting)}  [dim](apportion-migrate data run)[/]")


app.add_typer(preflight_commands.app)
app.add_typer(resolve_commands.app)
app.add_typer(data_commands.app, name="data")
app.add_typer(seed_commands.app)


def main() -> None:
    """Run the console script."""
    app(prog_name="apportion-migrate")
