"""The `apportion` command."""

from __future__ import annotations

import decimal
from importlib.metadata import entry_points
from typing import Final

import typer
from apportion_common.decimals import SUM_DIGITS_MAX

from apportion_cli.commands.account import app as account
from apportion_cli.commands.apply import apply
from apportion_cli.commands.assignment import app as assignment
from apportion_cli.commands.audit import audit
from apportion_cli.commands.billing_account import app as billing_account
from apportion_cli.commands.call import call
from apportion_cli.commands.claim import app as claim
from apportion_cli.commands.close import close, reopen
from apportion_cli.commands.conflict import app as conflict
from apportion_cli.commands.dead_letters import app as dead_letters
from apportion_cli.commands.digest import digest
from apportion_cli.commands.engine import app as engine
from apportion_cli.commands.ingest import ingest
from apportion_cli.commands.invite import app as invite
from apportion_cli.commands.invoice import invoice
from apportion_cli.commands.join import app as join
from apportion_cli.commands.key import app as key
from apportion_cli.commands.lane_message import lane_message
from apportion_cli.commands.lines import lines
from apportion_cli.commands.mapping import app as mapping
from apportion_cli.commands.member import app as member
from apportion_cli.commands.org import app as org
from apportion_cli.commands.partner import app as partner
from apportion_cli.commands.plan import app as plan
from apportion_cli.commands.por import app as por
from apportion_cli.commands.rate import app as rate
from apportion_cli.commands.setting import app as setting
from apportion_cli.commands.sku import app as sku
from apportion_cli.commands.statement import statement
from apportion_cli.commands.status import status
from apportion_cli.commands.sweep import sweep
from apportion_cli.commands.token import app as token
from apportion_cli.commands.verify import verify

COMMANDS: Final = "apportion.commands"
"""The entry points by which other libraries add commands, as the local stack does where it is installed."""

app = typer.Typer(
    help="Apportion, a usage-billing platform: a client of its services, and the local stack where it is installed.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)

for entry in entry_points(group=COMMANDS):
    app.add_typer(entry.load(), name=entry.name)
for command in (apply, ingest, status, sweep, close, reopen, invoice, statement, lines, digest, verify, audit, call):
    app.command()(command)
app.command(name="lane-message")(lane_message)
app.add_typer(dead_letters, name="dead-letters")
for name, group in (
    ("org", org),
    ("billing-account", billing_account),
    ("mapping", mapping),
    ("sku", sku),
    ("plan", plan),
    ("assignment", assignment),
    ("engine", engine),
    ("partner", partner),
    ("rate", rate),
    ("por", por),
    ("claim", claim),
    ("conflict", conflict),
    ("invite", invite),
    ("member", member),
    ("join", join),
    ("setting", setting),
    ("account", account),
    ("token", token),
    ("key", key),
):
    app.add_typer(group, name=name)


def main() -> None:
    """Run the command line; what it adds up is exact."""
    decimal.setcontext(decimal.Context(prec=SUM_DIGITS_MAX))
    app()


if __name__ == "__main__":
    main()
