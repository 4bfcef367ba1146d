"""`apportion-migrate seed`: what an environment begins with, loaded only where its feature is open.

For a person at a terminal it writes text, otherwise one JSON object a line. Exit codes: 0 done, 1 failed.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated, Any

import typer
from apportion_common import flags
from apportion_common.logs import log_to_stderr
from rich.console import Console
from sqlalchemy.exc import DBAPIError

from apportion_migrate import seeds
from apportion_migrate.command.output import ServicesOption, the_plan
from apportion_migrate.errors import MigrationError
from apportion_migrate.plan import PlanError
from apportion_migrate.sessions import MigrationSettingError, migration_engine, migration_url

EXIT_FAILED = 1
COLOURS = {"added": "green", "changed": "green", "same": "dim", "closed": "yellow"}

app = typer.Typer()


@app.command()
def seed(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would become of each row; change nothing.")
    ] = False,
    services: ServicesOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON object a line, also to a terminal.", show_default=False)
    ] = False,
) -> None:
    """Load the seeds whose features are open; what is there already, and whatever an operator changed, stays."""
    log_to_stderr()
    as_json = as_json or not sys.stdout.isatty()
    console = Console(highlight=False, soft_wrap=True)

    def print_event(event: str, **fields: Any) -> None:
        if as_json:
            typer.echo(json.dumps({"event": event, **fields}, separators=(",", ":")))
        else:
            details = "  ".join(str(value) for value in fields.values())
            console.print(f"[{COLOURS.get(event, 'cyan')}]{event:>9}[/] {details}")

    try:
        opened = flags.Flags("seed", file=flags.from_file(os.environ))
        for service in the_plan(services).services:
            for file in seeds.load_files(service):
                if not opened.is_open(file.flag):
                    print_event("closed", service=service, file=file.name, flag=file.flag)
                    continue
                for row in seeds.load(migration_engine(migration_url(service)), file, dry_run=dry_run):
                    print_event(row.outcome, service=service, resource=row.resource)
    except (MigrationError, MigrationSettingError, PlanError, flags.FlagError, DBAPIError) as error:
        if as_json:
            print_event("failed", error=str(error))
        else:
            typer.secho(f"failed: {error}", fg=typer.colors.RED, err=True)
        raise typer.Exit(EXIT_FAILED) from error
