"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

PrefixOption = Annotated[str, typer.Option("--prefix", help="Stands before every organisation's and account's code.")]
PeriodArgument = Annotated[str, typer.Argument(help="Calendar month, such as 2013-01.")]
OrgOption = Annotated[str, typer.Option("--org", help="Slug or id of an organisation.")]
OwnOrgOption = Annotated[str, typer.Option("--org", help="Slug or id of the organisation that it concerns.")]
AccountOption = Annotated[str, typer.Option("--account", help="Name or id of a billing account, or OWNER-SLUG/NAME.")]
IdsOption = Annotated[bool, typer.Option("--ids", help="Show ids in place of names.")]
