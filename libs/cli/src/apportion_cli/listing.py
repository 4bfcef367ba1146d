"""Lists of what there is: as a table, or as JSON for programs; and what is common to the commands that make things."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from apportion_client.pages import items_of
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.decimal_pb2 import Decimal

from apportion_cli.display import Cell, print_line, show_fields, show_table, word

LIMIT: Final = 1_000
"""Rows that a list shows when it is not asked for more."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, an object a line.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="Rows at most.")]
SearchOption = Annotated[str, typer.Option("--search", help="Only what has this in its name.")]


def instant(text: str) -> Timestamp:
    """Return the time that a person means: an RFC 3339 one, or the start of a day or month in UTC. BadParameter."""
    for form in ("%Y-%m", "%Y-%m-%d"):
        try:
            at = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return _timestamp(at)
    with contextlib.suppress(ValueError):
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return _timestamp(at)
    raise typer.BadParameter(f"{text} is not a time: say 2013-01-01T00:00:00Z, a day or a month.")


FromOption = Annotated[
    Any, typer.Option("--from", parser=instant, metavar="TIME", help="From when on: a time, a day or a month.")
]
AtOption = Annotated[
    Any, typer.Option("--at", parser=instant, metavar="TIME", help="As of a time, a day or a month's start.")
]


def decimal(text: str) -> Decimal:
    """Return a number as the contract has it; the service says what is wrong with it."""
    return Decimal(value=text)


async def first(services_call: Any, request: Any, items: str, limit: int) -> list[Any]:
    """Return the first items of a list."""
    return [item async for item in items_of(services_call, request, items, limit)]


def show_items(
    title: str, columns: Sequence[str], items: Sequence[Message], row: Callable[[Any], Iterable[Cell]], *, as_json: bool
) -> None:
    """Print messages as the rows of a table, or as JSON."""
    if as_json:
        for item in items:
            print_message(item)
        return
    show_table(title, columns, [tuple(row(item)) for item in items])


def show_item(message: Message, fields: dict[str, str], *, as_json: bool) -> None:
    """Print what is known of one thing, a line each, or as JSON."""
    if as_json:
        print_message(message)
    else:
        show_fields(fields)


def print_message(message: Message) -> None:
    """Print a message as JSON on one line, with the contract's field names."""
    print_line(
        json_format.MessageToJson(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=None
        )
    )


def many(count: int, one: str, several: str) -> str:
    """Return how many there are of something whose plural is no s at the end."""
    return f"{count:,} {one if count == 1 else several}"


def value_word(enum: Any, value: int, prefix: str) -> str:
    """Return a value of an enum as people say it."""
    return word(enum.Name(value), prefix)


def with_ids(names: Iterable[str], of: str, ids: bool) -> tuple[str, ...]:
    """Return the columns of a list, the id before them where ids are asked for."""
    return (f"{of} id", *names) if ids else tuple(names)


def _timestamp(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at.astimezone(UTC).replace(tzinfo=None))
    return stamp
