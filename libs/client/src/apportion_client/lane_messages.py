"""The lanes' messages with their packed records written out, for people and tests.

A second reader of the layouts that the contracts document (`lane.proto` of each package): it shares nothing with the
services' own, takes the bytes apart field by field, and is in no hurry.
"""

from __future__ import annotations

from collections.abc import Iterator

from apportion.common.v1.lane_pb2 import CHARGE_KIND_UNSPECIFIED, CHARGE_KIND_USAGE
from apportion.metering.v1.lane_pb2 import AcceptedBatch, AcceptedEntry, IntakeEntry, IntakeMessage
from apportion.pricing.v1.lane_pb2 import RatedBatch, RatedCharge

INTAKE_RECORD_BYTES = 51
USAGE_RECORD_BYTES = 34
CHARGE_RECORD_BYTES = 62


class _Fields:
    """Takes fields off a record, one after the other."""

    def __init__(self, record: bytes) -> None:
        self._rest = record

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def unsigned(self, size: int) -> int:
        """Return the next unsigned integer."""
        return int.from_bytes(self.take(size), "big")

    def signed64(self) -> int:
        """Return the next signed integer of 64 bits."""
        return int.from_bytes(self.take(8), "big", signed=True)


def expand_intake(message: IntakeMessage) -> IntakeMessage:
    """Return the message with an entry for each record, in the order of all entries. ValueError for broken records."""
    out = IntakeMessage()
    out.CopyFrom(message)
    if not message.records:
        return out
    for field in ("groups", "records", "request_ids", "unpacked", "unpacked_indexes"):
        out.ClearField(field)
    entries = [IntakeEntry.FromString(entry.SerializeToString()) for entry in message.unpacked]
    places = dict(zip(message.unpacked_indexes, entries, strict=True))
    request_ids = _Fields(message.request_ids)
    records = _records(message.records, INTAKE_RECORD_BYTES)
    for place in range(len(entries) + len(message.records) // INTAKE_RECORD_BYTES):
        if place in places:
            out.entries.append(places[place])
            continue
        fields = next(records)
        group = message.groups[fields.unsigned(2)]
        event = out.entries.add().event
        event.org_id, event.project_id, event.sku, event.source = (
            group.org_id,
            group.project_id,
            group.sku,
            group.source,
        )
        event.request_id = request_ids.take(fields.unsigned(1)).decode("ascii")
        event.content_hash = fields.take(32)
        event.quantity = _scaled_bytes(fields.signed64())
        event.event_time_us = fields.signed64()
    return out


def expand_accepted(batch: AcceptedBatch) -> AcceptedBatch:
    """Return the batch with an entry for each record, in the order of entry_seq. ValueError for broken records."""
    out = AcceptedBatch(lane=batch.lane, batch_seq=batch.packed_batch_seq or batch.batch_seq, traces=batch.traces)
    entries = {entry.entry_seq: entry for entry in batch.entries}
    entry_seq = batch.first_entry_seq
    for fields in _records(batch.records, USAGE_RECORD_BYTES):
        while entry_seq in entries:
            entry_seq += 1
        group = batch.groups[fields.unsigned(2)]
        entry = entries[entry_seq] = AcceptedEntry(entry_seq=entry_seq)
        usage = entry.usage
        usage.org_id, usage.project_id, usage.sku = group.org_id, group.project_id, group.sku
        usage.event_id = fields.take(16)
        usage.quantity = _scaled_bytes(fields.signed64())
        usage.event_time_us = fields.signed64()
    out.entries.extend(entries[number] for number in sorted(entries))
    return out


def expand_rated(*parts: RatedBatch) -> RatedBatch:
    """Return one batch of its parts, with a charge for each record, in order. ValueError for broken records."""
    out = RatedBatch()
    out.CopyFrom(parts[0])
    for field in ("charges", "rejections", "period_closes", "traces", "groups", "records", "part", "part_count"):
        out.ClearField(field)
    out.batch_seq = out.packed_batch_seq or out.batch_seq
    out.ClearField("packed_batch_seq")
    out.ClearField("first_entry_seq")
    for part in parts:
        out.rejections.extend(part.rejections)
        out.period_closes.extend(part.period_closes)
        out.traces.extend(part.traces)
        charges = [_charge(part, fields) for fields in _records(part.records, CHARGE_RECORD_BYTES)]
        for charge in part.charges:
            plain = RatedCharge()
            plain.CopyFrom(charge)
            plain.ClearField("index")
            plain.cause_id = plain.cause_id or plain.event_id
            if plain.kind == CHARGE_KIND_UNSPECIFIED:
                plain.kind = CHARGE_KIND_USAGE
            charges.insert(charge.index if part.records else len(charges), plain)
        out.charges.extend(charges)
    return out


def _charge(part: RatedBatch, fields: _Fields) -> RatedCharge:
    group = part.groups[fields.unsigned(2)]
    charge = RatedCharge(
        kind=group.kind,
        org_id=group.org_id,
        project_id=group.project_id,
        billing_account_id=group.billing_account_id,
        mapping_id=group.mapping_id,
        sku=group.sku,
        sku_type=group.sku_type,
        currency=group.currency,
        period=group.period,
        billed_period=group.billed_period,
        entry_seq=part.first_entry_seq + fields.unsigned(4),
        charge_id=fields.take(16),
        cause_id=fields.take(16),
        quantity=_scaled_bytes(fields.signed64()),
        amount=_scaled_bytes(fields.signed64()),
        event_time_us=fields.signed64(),
    )
    if group.caused_by_events:
        charge.event_id = charge.cause_id
    return charge


def _records(raw: bytes, size: int) -> Iterator[_Fields]:
    if len(raw) % size:
        raise ValueError(f"{len(raw)} bytes are no records of {size} bytes.")
    return (_Fields(raw[start : start + size]) for start in range(0, len(raw), size))


def _scaled_bytes(value: int) -> bytes:
    """Return the number as the messages have it: two's complement in the fewest bytes."""
    size = 1
    while not -(1 << 8 * size - 1) <= value < 1 << 8 * size - 1:
        size += 1
    return value.to_bytes(size, "big", signed=True)
