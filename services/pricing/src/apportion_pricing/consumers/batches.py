"""Accepted batches as the rater takes them: plain tuples, made once from the message."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from operator import itemgetter
from typing import NamedTuple

from apportion.common.v1.lane_pb2 import TraceRange
from apportion.metering.v1.lane_pb2 import AcceptedBatch, AcceptedEntry
from apportion_common.lanes.records import UNREADABLE_BATCH_SEQ, USAGE_RECORD, batch_seq_of
from apportion_common.period_closes import PeriodChange
from google.protobuf.message import DecodeError

from apportion_pricing.domain.entries import Close, Usage


class Accepted(NamedTuple):
    """One accepted batch, in the order of entry_seq."""

    batch_seq: int
    entries: Sequence[Usage | Close]
    traces: Sequence[TraceRange]
    into_periods: Mapping[int, str] = {}
    """By entry_seq, the period that bills an event whose own is closed; hardly any event has one."""


def decode_accepted(data: bytes) -> Accepted:
    """Return the batch of a message of metering's; one that cannot be read has UNREADABLE_BATCH_SEQ and no entries."""
    try:
        batch = AcceptedBatch.FromString(data)
        entries = [_entry(entry) for entry in batch.entries]
        if batch.records:
            entries = _with_records(batch, entries)
    except (DecodeError, struct.error, IndexError):
        return Accepted(UNREADABLE_BATCH_SEQ, (), ())
    into_periods = {entry.entry_seq: entry.usage.into_period for entry in batch.entries if entry.usage.into_period}
    return Accepted(batch_seq_of(batch), entries, batch.traces, into_periods)


def _entry(entry: AcceptedEntry) -> Usage | Close:
    """Return an entry that came as a message."""
    if not entry.HasField("usage"):
        close = entry.period_close
        return Close(entry.entry_seq, PeriodChange(close.period, close.org_id or None, close.reopening))
    usage = entry.usage
    quantity = int.from_bytes(usage.quantity, "big", signed=True)
    return (
        entry.entry_seq,
        usage.event_id,
        usage.org_id,
        usage.project_id,
        usage.sku,
        quantity,
        usage.event_time_us,
    )


def _with_records(batch: AcceptedBatch, entries: list[Usage | Close]) -> list[Usage | Close]:
    """Return the entries of records and messages in the order of entry_seq. Raises IndexError or struct.error."""
    groups = [(group.org_id, group.project_id, group.sku) for group in batch.groups]
    records = USAGE_RECORD.iter_unpack(batch.records)
    if entries:
        taken = {entry[0] for entry in entries}
        numbers: Iterable[int] = (number for number in count(batch.first_entry_seq) if number not in taken)
    else:
        numbers = count(batch.first_entry_seq)
    usages: list[Usage | Close] = [
        (entry_seq, event_id, *groups[group], quantity, event_time_us)
        for (group, event_id, quantity, event_time_us), entry_seq in zip(records, numbers, strict=False)
    ]
    return sorted(usages + entries, key=itemgetter(0)) if entries else usages
