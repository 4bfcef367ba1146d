"""Intake messages as the writer takes them: entries in their order, whether they came as records or as messages."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from apportion.metering.v1 import lane_pb2
from apportion_common.lanes.records import INTAKE_RECORD
from apportion_common.protos import pack_int, unpack_int
from google.protobuf.message import DecodeError

from apportion_metering.domain.dedupe import CONTENT_HASH_BYTES
from apportion_metering.domain.entries import ORG_ID_BYTES, EventGroup, TakenEvent
from apportion_metering.limits import MESSAGE_ENTRIES_MAX

Item = TakenEvent | lane_pb2.IntakeEntry
"""An event, or any other entry: a control entry, or an event that lacks what every event has."""


class Undecodable(NamedTuple):
    """A message that is none."""

    why: str


class Intake(NamedTuple):
    """A message on metering.in."""

    items: Sequence[Item]
    received_at_us: int
    reply_to: str
    traceparent: str


def decode_intake(data: bytes) -> Intake | Undecodable:
    """Return what a message holds, or why it cannot be read."""
    try:
        message = lane_pb2.IntakeMessage.FromString(data)
    except DecodeError:
        return Undecodable("The message is not an IntakeMessage.")
    try:
        items = _packed_items(message) if message.records else [_item(entry) for entry in message.entries]
    except (struct.error, IndexError, ValueError):
        return Undecodable("The message's records are not whole.")
    if not 1 <= len(items) <= MESSAGE_ENTRIES_MAX:
        return Undecodable(f"The message has {len(items)} entries, not 1 to {MESSAGE_ENTRIES_MAX}.")
    return Intake(items, message.received_at_us, message.reply_to, message.traceparent)


def event_to_message(event: TakenEvent) -> lane_pb2.IntakeEvent:
    """Return an event as a message, such as a dead letter keeps."""
    name, group, quantity, event_time_us, content_hash, metadata = event
    return lane_pb2.IntakeEvent(
        org_id=group.org_id,
        project_id=group.project_id,
        request_id=name[ORG_ID_BYTES:].decode(),
        sku=group.sku,
        quantity=pack_int(quantity),
        event_time_us=event_time_us,
        metadata=metadata,
        content_hash=content_hash,
        source=group.source,
    )


def event_from_message(event: lane_pb2.IntakeEvent) -> TakenEvent:
    """Return an event that came as a message."""
    return TakenEvent(
        event.org_id + event.request_id.encode(),
        EventGroup(event.org_id, event.project_id, event.sku, event.source),
        unpack_int(event.quantity),
        event.event_time_us,
        event.content_hash,
        dict(event.metadata) if event.metadata else None,
    )


def entry_bytes(item: Item) -> bytes:
    """Return an entry as the bytes of an IntakeEntry, to be kept where it fails."""
    entry = lane_pb2.IntakeEntry(event=event_to_message(item)) if isinstance(item, TakenEvent) else item
    return entry.SerializeToString()


def _item(entry: lane_pb2.IntakeEntry) -> Item:
    if entry.HasField("event"):
        event = entry.event
        named = len(event.org_id) == ORG_ID_BYTES and event.request_id
        if named and event.quantity and len(event.content_hash) == CONTENT_HASH_BYTES:
            return event_from_message(event)
    return entry


def _packed_items(message: lane_pb2.IntakeMessage) -> list[Item]:
    """Return the entries of a message with records. Raises ValueError, IndexError or struct.error for broken ones."""
    groups = [EventGroup(group.org_id, group.project_id, group.sku, group.source) for group in message.groups]
    if any(len(group.org_id) != ORG_ID_BYTES or len(group.project_id) not in (0, 16) for group in groups):
        raise ValueError("A group has no organisation, or a project that is none.")
    request_ids = message.request_ids
    # A NamedTuple's own constructor costs three times as much.
    new_tuple = tuple.__new__
    items: list[Item] = []
    append = items.append
    start = 0
    for group_index, length, content_hash, quantity, event_time_us in INTAKE_RECORD.iter_unpack(message.records):
        if not length:
            raise ValueError("A request id has at least one character.")
        group = groups[group_index]
        end = start + length
        name = group.org_id + request_ids[start:end]
        append(new_tuple(TakenEvent, (name, group, quantity, event_time_us, content_hash, None)))
        start = end
    if start != len(request_ids):
        raise ValueError("The request ids are not those of the records.")
    indexes, unpacked = message.unpacked_indexes, message.unpacked
    if len(indexes) != len(unpacked) or message.entries:
        raise ValueError("An entry has no place.")
    for index, entry in zip(indexes, unpacked, strict=True):
        if index > len(items):
            raise ValueError("An entry has a place beyond the last.")
        items.insert(index, _item(entry))
    return items
