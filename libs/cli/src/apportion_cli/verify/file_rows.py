"""The rows of a usage file, told apart by what the services made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from apportion_common.topology import PAYLOAD_MISMATCH

from apportion_cli.ingest.events import time_us
from apportion_cli.ingest.rows import Row

Key = tuple[str, str]
"""Organisation and request id: an id is unique per organisation only."""


@dataclass(frozen=True, slots=True)
class Content:
    """What an event says besides its id, whatever the spelling."""

    project: str
    sku: str
    quantity: Decimal | str
    time_us: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter, in the file's words."""

    reason: str
    key: Key
    content: Content | None


@dataclass
class Sorted:
    """Rows by what became of them."""

    first: dict[Key, Row] = field(default_factory=dict)
    """The row that each event came from first."""
    duplicates: list[Row] = field(default_factory=list)
    dead_letters: list[tuple[str, Row]] = field(default_factory=list)
    """Reason and row."""
    unexplained: list[DeadLetter] = field(default_factory=list)
    """Dead letters of no row of the file."""


def content_of(row: Row) -> Content:
    """Return a row's content: numbers as numbers and times as instants. Raises RowRejected for no time."""
    try:
        quantity: Decimal | str = Decimal(row.quantity)
    except InvalidOperation:
        quantity = row.quantity
    return Content(row.project, row.sku, quantity, time_us(row.event_time))


def sort_rows(rows: Iterable[Row], letters: Iterable[DeadLetter], known: Mapping[Key, bool]) -> Sorted:
    """Tell first rows, duplicates and dead letters apart.

    `known` says whether the services know an event. A row whose id came before is a dead letter where the services
    have one with just its content, and a duplicate where they took the event and have none.
    """
    refused: dict[Key, str] = {}
    mismatched: dict[tuple[Key, Content], None] = {}
    result = Sorted()
    letters = list(letters)
    for letter in letters:
        if letter.reason != PAYLOAD_MISMATCH:
            refused[letter.key] = letter.reason
        elif letter.content is not None:
            mismatched[letter.key, letter.content] = None
    explained: set[Key] = set()
    for row in rows:
        key = (row.org, row.request_id)
        if key not in result.first:
            result.first[key] = row
            if key in refused:
                result.dead_letters.append((refused[key], row))
                explained.add(key)
        elif (key, content_of(row)) in mismatched:
            del mismatched[key, content_of(row)]
            result.dead_letters.append((PAYLOAD_MISMATCH, row))
        elif known.get(key, False):
            result.duplicates.append(row)
    result.unexplained = [
        letter
        for letter in letters
        if (
            letter.key not in explained
            if letter.reason != PAYLOAD_MISMATCH
            else (letter.key, letter.content) in mismatched
        )
    ]
    return result
