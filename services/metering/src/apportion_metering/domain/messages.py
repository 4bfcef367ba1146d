"""Which events travel in which message: one or more messages per lane of a call (spec 04, "Order")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from apportion_common.errors import OutOfRange
from apportion_common.ids import lane_of

from apportion_metering.domain.intake import CheckedEvent
from apportion_metering.limits import (
    ENTRY_OVERHEAD_BYTES,
    LABEL_OVERHEAD_BYTES,
    MESSAGE_BYTES_MAX,
    MESSAGE_ENTRIES_MAX,
    MESSAGE_OVERHEAD_BYTES,
)


class Envelope(NamedTuple):
    """What every message of a call says of the call."""

    received_at_us: int
    producer: str
    """Subject of the caller's token."""
    traceparent: str


@dataclass(slots=True)
class PlannedMessage:
    """A message to be made: its lane, the indexes of its entries in their order, and its size with headers in bytes."""

    lane: int
    size_bytes: int
    entries: list[int] = field(default_factory=list)


def plan_events(events: Sequence[CheckedEvent]) -> list[PlannedMessage]:
    """Return the messages of a call's events; an organisation's events keep their order."""
    lanes: dict[bytes, int] = {}
    numbers = []
    sizes = []
    for org_id, _, request_id, sku, _, _, metadata, _, _ in events:
        lane = lanes.get(org_id)
        if lane is None:
            lane = lanes[org_id] = lane_of(org_id)
        numbers.append(lane)
        size = ENTRY_OVERHEAD_BYTES + len(request_id) + len(sku)
        if metadata:
            size += sum(
                LABEL_OVERHEAD_BYTES + len(key.encode()) + len(value.encode()) for key, value in metadata.items()
            )
        sizes.append(size)
    return plan_messages(numbers, sizes, MESSAGE_OVERHEAD_BYTES)


def plan_messages(
    lanes: Sequence[int],
    sizes_bytes: Sequence[int],
    overhead_bytes: int,
    entries_max: int = MESSAGE_ENTRIES_MAX,
    bytes_max: int = MESSAGE_BYTES_MAX,
) -> list[PlannedMessage]:
    """Return the messages of entries that have these lanes and encoded sizes (framing included).

    Entries of a lane keep their order, in the messages and among them; a message is cut before it would have more than
    `entries_max` entries or `bytes_max` bytes, of which `overhead_bytes` are its headers and envelope. Raises
    OutOfRange ENTRY_TOO_LARGE for an entry that no message can hold.
    """
    messages: list[PlannedMessage] = []
    open_messages: dict[int, PlannedMessage] = {}
    for index, (lane, size) in enumerate(zip(lanes, sizes_bytes, strict=True)):
        if overhead_bytes + size > bytes_max:
            raise OutOfRange("ENTRY_TOO_LARGE", f"An entry of {size} bytes does not fit in a message.")
        message = open_messages.get(lane)
        if message is None or len(message.entries) >= entries_max or message.size_bytes + size > bytes_max:
            message = open_messages[lane] = PlannedMessage(lane, overhead_bytes)
            messages.append(message)
        message.entries.append(index)
        message.size_bytes += size
    return messages
