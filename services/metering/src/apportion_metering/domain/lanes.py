"""Grouping of a call's entries to messages, one or more per lane (spec 04, "Order")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from apportion_common.errors import OutOfRange

MAX_MESSAGE_ENTRIES: Final = 1000
MAX_MESSAGE_BYTES: Final = 512 * 1024
"""A message with its headers."""


@dataclass(slots=True)
class PlannedMessage:
    """A message to be made: its lane, the indexes of its entries in their order, and its size with headers in bytes."""

    lane: int
    size_bytes: int
    entries: list[int] = field(default_factory=list)


def plan_messages(
    lanes: Sequence[int],
    sizes_bytes: Sequence[int],
    overhead_bytes: int,
    max_entries: int = MAX_MESSAGE_ENTRIES,
    max_bytes: int = MAX_MESSAGE_BYTES,
) -> list[PlannedMessage]:
    """The messages of entries that have these lanes and encoded sizes (framing included).

    Entries of a lane keep their order, in the messages and among them; a message is cut before it would have more than
    `max_entries` entries or `max_bytes` bytes, of which `overhead_bytes` are its headers and envelope. Raises
    OutOfRange ENTRY_TOO_LARGE for an entry that no message can hold.
    """
    messages: list[PlannedMessage] = []
    open_messages: dict[int, PlannedMessage] = {}
    for index, (lane, size) in enumerate(zip(lanes, sizes_bytes, strict=True)):
        if overhead_bytes + size > max_bytes:
            raise OutOfRange("ENTRY_TOO_LARGE", f"An entry of {size} bytes does not fit in a message.")
        message = open_messages.get(lane)
        if message is None or len(message.entries) >= max_entries or message.size_bytes + size > max_bytes:
            message = open_messages[lane] = PlannedMessage(lane, overhead_bytes)
            messages.append(message)
        message.entries.append(index)
        message.size_bytes += size
    return messages
