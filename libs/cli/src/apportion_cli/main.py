"""The `apportion` command."""

from __future__ import annotations

import typer

from apportion_cli.commands.apply import apply
from apportion_cli.commands.call import call
from apportion_cli.commands.close import close
from apportion_cli.commands.dead_letters import app as dead_letters
from apportion_cli.commands.digest import digest
from apportion_cli.commands.ingest import ingest
from apportion_cli.commands.invoice import invoice
from apportion_cli.commands.lines import lines
from apportion_cli.commands.statement import statement
from apportion_cli.commands.status import status
from apportion_cli.commands.sweep import sweep
from apportion_cli.commands.verify import verify
from apportion_cli.stack import commands as stack

app = typer.Typer(
    help="Apportion, a usage-billing platform: its local stack, and a client of its five services.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)

app.add_typer(stack.app)
for command in (apply, ingest, status, sweep, close, invoice, statement, lines, digest, verify, call):
    app.command()(command)
app.add_typer(dead_letters, name="dead-letters")
app.command(name="token")(stack.token)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
