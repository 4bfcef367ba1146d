"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

PrefixOption = Annotated[str, typer.Option("--prefix", help="Stands before every organisation's and account's code.")]
PeriodArgument = Annotated[str, typer.Argument(help="Calendar month, such as 2013-01.")]
OrgOption = Annotated[str, typer.Option("--org", help="Code or id of an organisation.")]
OwnOrgOption = Annotated[str, typer.Option("--org", help="Code or id of the organisation that it concerns.")]
AccountOption = Annotated[str, typer.Option("--account", help="Code or id of a billing account.")]
