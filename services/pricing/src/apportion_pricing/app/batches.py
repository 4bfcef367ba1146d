"""Accepted batches as the rater takes them: plain tuples, made once from the message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from apportion.common.v1.lane_pb2 import TraceRange
from apportion.metering.v1.lane_pb2 import AcceptedBatch
from google.protobuf.message import DecodeError

UNREADABLE_BATCH_SEQ: Final = 2**63 - 1
"""Number of a batch that cannot be read: never the next one, so the lane stops there and says so."""

Usage = tuple[int, bytes, bytes, bytes, str, int, int]
"""seq, event id, organisation, project (or no bytes), SKU, quantity scaled by 9 places, event time in microseconds."""


class Close(NamedTuple):
    """A control entry: from its place on, events of the period are refused, of one organisation or of all (None)."""

    entry_seq: int
    period: str
    org_id: bytes | None


class Accepted(NamedTuple):
    """One accepted batch, in the order of seq."""

    batch_seq: int
    entries: Sequence[Usage | Close]
    traces: Sequence[TraceRange]


def decode_accepted(data: bytes) -> Accepted:
    """The batch of a message of metering's; one that cannot be read has UNREADABLE_POS and no entries."""
    try:
        batch = AcceptedBatch.FromString(data)
        from_bytes = int.from_bytes
        entries: list[Usage | Close] = []
        append = entries.append
        for entry in batch.entries:
            if entry.HasField("usage"):
                usage = entry.usage
                append(
                    (
                        entry.entry_seq,
                        usage.event_id,
                        usage.org_id,
                        usage.project_id,
                        usage.sku,
                        from_bytes(usage.quantity, "big", signed=True),
                        usage.event_time_us,
                    )
                )
            else:
                close = entry.period_close
                append(Close(entry.entry_seq, close.period, close.org_id or None))
    except DecodeError:
        return Accepted(UNREADABLE_BATCH_SEQ, (), ())
    return Accepted(batch.batch_seq, entries, batch.traces)
