"""Names in the database: a text in either case, and a name's neighbours in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, func, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

NEIGHBOURS_MAX: Final = 50
"""Names on either side, among which one like a name is looked for: what differs in its first letters is not found."""
_ESCAPE: Final = "\\"


def is_called(column: ColumnElement[str], names: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition that a column has one of these names, as `apportion_common.names.look_up` spells them."""
    return func.lower(func.btrim(column)).in_(names) | column.in_(names)


def contains(column: ColumnElement[str], part: str) -> ColumnElement[bool]:
    """Return the condition that a column contains a text, in either case."""
    return column.ilike(f"%{_escaped(part)}%", escape=_ESCAPE)


def begins_with(column: ColumnElement[str], beginning: str) -> ColumnElement[bool]:
    """Return the condition that a column begins with a text."""
    return column.like(f"{_escaped(beginning)}%", escape=_ESCAPE)


async def neighbours(connection: AsyncConnection, column: ColumnElement[str], name: str) -> Sequence[str]:
    """Return the names of a column that stand right before and behind a name, in either case."""
    key = func.lower(column)

    def side(condition: ColumnElement[bool], order: ColumnElement[str]) -> Select[Any]:
        return select(select(column).where(condition).order_by(order).limit(NEIGHBOURS_MAX).subquery())

    both = union_all(side(key < name, key.desc()), side(key >= name, key.asc()))
    return [found for (found,) in await connection.execute(both)]


def _escaped(text: str) -> str:
    for special in (_ESCAPE, "%", "_"):
        text = text.replace(special, _ESCAPE + special)
    return text
