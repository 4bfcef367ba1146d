"""`apportion-migrate data`: run, watch and pause the services' data migrations.

A person at a terminal sees bars with the time that is left; anything else gets one JSON object a line. Exit codes: 0
done, paused or planned, 1 failed, 75 told to end before it was done (run it again).
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from sqlalchemy.exc import DBAPIError

from apportion_migrate import data
from apportion_migrate.command.exits import EXIT_AGAIN, EXIT_FAILED
from apportion_migrate.command.output import ServicesOption, the_plan
from apportion_migrate.data import (
    BUSY_SESSIONS_MAX,
    LAG_BYTES_MAX,
    PAUSE_MS,
    DataMigration,
    DataProgress,
    Standing,
    Throttle,
)
from apportion_migrate.errors import MigrationError
from apportion_migrate.plan import Plan, PlanError
from apportion_migrate.sessions import MigrationSettingError, migration_engine, migration_url

CHUNK_ROWS_MAX = 100_000
PAUSE_MS_MAX = 60_000

app = typer.Typer(no_args_is_help=True, help="Change rows in chunks: run, watch and pause data migrations.")

Names = Annotated[
    list[str] | None, typer.Argument(help="Data migrations by name; all of them without any.", show_default=False)
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Write one JSON object a line, also to a terminal.", show_default=False)
]


class Output:
    """Bars for a person at a terminal, JSON lines for anything else."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json or not sys.stdout.isatty()
        self.console = Console(highlight=False, soft_wrap=True)
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    @contextmanager
    def bars(self) -> Iterator[None]:
        """Show bars for the length of a run."""
        if self.as_json:
            yield
            return
        columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console) as self._bars:
            yield

    def event(self, event: DataProgress) -> None:
        """Print something that happened in a run."""
        standing = event.standing
        if self._bars is None:
            self.line(event.kind, standing, eta_s=event.eta_s, **event.details)
            return
        name = standing.name
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=standing.rows_total)
        total = standing.rows_done if standing.state == "done" else standing.rows_total
        self._bars.update(self._tasks[name], completed=standing.rows_done, total=total)
        if event.kind != "chunk":
            details = ", ".join(f"{key} {value}" for key, value in event.details.items())
            self._bars.console.print(f"{event.kind:>9} {name} [dim]{details}[/]")

    def line(self, kind: str, standing: Standing, **details: Any) -> None:
        """Print how far a migration is."""
        if self.as_json:
            fields = {
                "event": kind,
                "service": standing.service,
                "name": standing.name,
                "state": standing.state,
                "rows_done": standing.rows_done,
                "rows_total": standing.rows_total,
                **details,
            }
            typer.echo(json.dumps(fields, separators=(",", ":")))
            return
        total = "?" if standing.rows_total is None else standing.rows_total
        self.console.print(
            f"{standing.service:<9} {standing.name:<24} {standing.state:<8} {standing.rows_done} of {total} rows"
        )

    def failure(self, error: Exception) -> None:
        """Print why the command ended."""
        if self.as_json:
            typer.echo(json.dumps({"event": "failed", "error": str(error)}, separators=(",", ":")))
        else:
            typer.secho(f"failed: {error}", fg=typer.colors.RED, err=True)


@app.command()
def run(
    names: Names = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would change; change nothing.")] = False,
    chunk_rows: Annotated[
        int, typer.Option(min=0, max=CHUNK_ROWS_MAX, help="Rows looked at in one chunk; 0 leaves each its own number.")
    ] = 0,
    pause_ms: Annotated[
        int, typer.Option(min=0, max=PAUSE_MS_MAX, help="Pause after each chunk, in milliseconds.")
    ] = PAUSE_MS,
    max_lag_bytes: Annotated[
        int, typer.Option(min=0, help="Wait while a replica is further behind than so many bytes.")
    ] = LAG_BYTES_MAX,
    max_busy_sessions: Annotated[
        int, typer.Option(min=0, help="Wait while more other sessions than this are in a transaction.")
    ] = BUSY_SESSIONS_MAX,
    services: ServicesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Carry data migrations on from where they are, in the plan's order; what is done is left alone."""
    output = Output(as_json=as_json)
    throttle = Throttle(pause_ms=pause_ms, lag_bytes_max=max_lag_bytes, busy_sessions_max=max_busy_sessions)
    told_to_end: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: told_to_end.append(received))
    with _failing_well(output), output.bars():
        for migration in _chosen(names, services):
            if chunk_rows:
                migration.chunk_rows = chunk_rows
            end = data.run(
                migration_engine(migration_url(migration.service)),
                migration,
                dry_run=dry_run,
                throttle=throttle,
                on_progress=output.event,
                stop=lambda: bool(told_to_end),
            )
            if end.kind == "stopped":
                raise typer.Exit(EXIT_AGAIN)


@app.command()
def status(names: Names = None, services: ServicesOption = None, as_json: JsonOption = False) -> None:
    """Show how far data migrations are; changes nothing."""
    output = Output(as_json=as_json)
    with _failing_well(output):
        for migration in _chosen(names, services):
            (standing,) = data.status(migration_engine(migration_url(migration.service)), [migration])
            output.line("data", standing)


@app.command()
def pause(names: Names = None, services: ServicesOption = None, as_json: JsonOption = False) -> None:
    """Have running data migrations end after their chunk; `run` carries them on."""
    output = Output(as_json=as_json)
    with _failing_well(output):
        for migration in _chosen(names, services):
            engine = migration_engine(migration_url(migration.service))
            paused = data.pause(engine, migration)
            (standing,) = data.status(engine, [migration])
            output.line("paused" if paused else "not running", standing)


def waiting_data(plan: Plan) -> list[str]:
    """Return the data migrations that are not done and whose revision stands, by name in the plan's order; only
    looks.
    """
    found: list[str] = []
    for service in plan.services:
        migrations = data.load_migrations(service)
        if not migrations:
            continue
        engine = migration_engine(migration_url(service))
        found += [one.name for one in data.status(engine, migrations) if one.reached and one.state != "done"]
    return found


@contextmanager
def _failing_well(output: Output) -> Iterator[None]:
    """Turn what can go wrong into a message and an exit code."""
    try:
        yield
    except (MigrationError, MigrationSettingError, PlanError) as error:
        output.failure(error)
        raise typer.Exit(EXIT_FAILED) from error
    except DBAPIError as error:
        output.failure(MigrationError(f"The database refuses: {error.orig}"))
        raise typer.Exit(EXIT_FAILED) from error


def _chosen(names: list[str] | None, services: list[str] | None) -> list[DataMigration]:
    """Return the data migrations of these names, in the plan's order; DataMigrationError for an unknown name."""
    found = [one for service in the_plan(services).services for one in data.load_migrations(service)]
    unknown = sorted(set(names or ()) - {one.name for one in found})
    if unknown:
        known = ", ".join(one.name for one in found)
        raise data.DataMigrationError(f"There is no data migration {unknown[0]}; there are {known}.")
    return [one for one in found if not names or one.name in names]
