"""Options that several commands share."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Final, NoReturn

import typer
from apportion_common.errors import ApportionError
from apportion_common.periods import parse_period

_WEEK: Final = re.compile(r"([0-9]{4})-W([0-9]{2})")


def check_period(key: str) -> str:
    """Return a month as it was given, if any. Raises BadParameter for what is none."""
    try:
        return parse_period(key).key if key else ""
    except ApportionError as error:
        raise typer.BadParameter(error.message) from None


def check_weeks(weeks: list[str]) -> list[str]:
    """Return ISO 8601 weeks as they were given. Raises BadParameter for what is none."""
    for week in weeks:
        match = _WEEK.fullmatch(week)
        try:
            date.fromisocalendar(int(match[1]), int(match[2]), 1) if match else _no_week(week)
        except ValueError:
            _no_week(week)
    return weeks


def _no_week(week: str) -> NoReturn:
    raise typer.BadParameter(f"{week[:16]!r} is not a week such as '2013-W01'.")


PrefixOption = Annotated[str, typer.Option("--prefix", help="Stands before every organisation's and account's code.")]
PeriodArgument = Annotated[str, typer.Argument(callback=check_period, help="Calendar month, such as 2013-01.")]
OrgOption = Annotated[str, typer.Option("--org", help="Slug or id of an organisation.")]
OwnOrgOption = Annotated[str, typer.Option("--org", help="Slug or id of the organisation that it concerns.")]
AccountOption = Annotated[str, typer.Option("--account", help="Name or id of a billing account, or OWNER-SLUG/NAME.")]
IdsOption = Annotated[bool, typer.Option("--ids", help="Show ids in place of names.")]
