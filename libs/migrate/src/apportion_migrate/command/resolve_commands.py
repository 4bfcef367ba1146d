"""`apportion-migrate resolve`: mends what pre-flight found; shows what it would do, and does it with --apply."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer
from rich.markup import escape

from apportion_migrate.command.exits import EXIT_CONFLICTS
from apportion_migrate.command.output import JsonOption, Output, ServicesOption, failing_well, rows_text, the_plan
from apportion_migrate.command.preflight_commands import conflicts_table
from apportion_migrate.plan import Plan
from apportion_migrate.resolve import Change, Resolution, fixes, resolve

CHANGES_SHOWN_MAX = 20

app = typer.Typer()


@app.command(name="resolve")
def resolve_command(
    name: Annotated[str | None, typer.Argument(help="The fix; all are listed when left out.")] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it; otherwise it is only shown.", show_default=False)
    ] = False,
    keep: Annotated[list[str] | None, typer.Option(help="An id that stays, whatever the fix would choose.")] = None,
    expect: Annotated[
        int | None, typer.Option(min=0, help="Refuse to change other than so many rows: what the dry run showed.")
    ] = None,
    actor: Annotated[
        str | None, typer.Option(help="Who does it, for the audit; the user at hand when left out.")
    ] = None,
    services: ServicesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mend a conflict that pre-flight found: a dry run first, then --apply. Ends with 3 when some of it is left."""
    output = Output(as_json=as_json)
    with failing_well(output):
        if name is None:
            _list(output, the_plan(services))
            return
        done = resolve(
            the_plan(services),
            name,
            actor=f"operator:{actor or getpass.getuser()}",
            apply=apply,
            keep=keep or (),
            expect=expect,
        )
    _show(output, done)
    if done.applied and done.left:
        raise typer.Exit(EXIT_CONFLICTS)


def _list(output: Output, plan: Plan) -> None:
    for name, (service, fix) in fixes(plan).items():
        if output.as_json:
            output.json(event="fix", name=name, service=service, checks=list(fix.checks), says=fix.says)
        else:
            output.text(f"{service:<9} [cyan]{name}[/]  {escape(fix.says)}")


def _show(output: Output, done: Resolution) -> None:
    kind = "changed" if done.applied else "would_change"
    if output.as_json:
        for change in done.changes:
            output.json(event=kind, service=done.service, fix=done.fix.name, **change.as_json())
        for finding in done.left if done.applied else ():
            output.json(event="conflict", **finding.as_json() | {"service": done.service})
        output.json(event="resolved" if done.applied else "dry_run", fix=done.fix.name, changes=len(done.changes))
        return
    for change in done.changes[:CHANGES_SHOWN_MAX]:
        output.text(f"{_word(change):>7} {escape(change.resource)}  [dim]{escape(_difference(change))}[/]")
    if len(done.changes) > CHANGES_SHOWN_MAX:
        output.text(f"… and {len(done.changes) - CHANGES_SHOWN_MAX} more")
    if not done.applied:
        if done.changes:
            number = len(done.changes)
            output.text(f"{rows_text(number)} would change; nothing did. Do it with --apply --expect {number}.")
        else:
            output.text("Nothing would change.")
        return
    if done.changes:
        output.text(f"[green]{rows_text(len(done.changes))} changed[/], each with its audit entry.")
    else:
        output.text("Nothing was to be changed.")
    if done.left:
        output.console.print(conflicts_table(done.left))


def _word(change: Change) -> str:
    if change.before is None:
        return "insert"
    return "delete" if change.after is None else "update"


def _difference(change: Change) -> str:
    """Return what is different in a row, such as `status: verified → revoked`."""
    said = change.as_json()
    before, after = said["before"], said["after"]
    if not isinstance(before, dict) or not isinstance(after, dict):
        return ""
    return ", ".join(f"{key}: {before.get(key)} → {value}" for key, value in after.items() if before.get(key) != value)
