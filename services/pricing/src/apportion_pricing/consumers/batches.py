"""Accepted batches as the rater takes them: plain tuples, made once from the message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from apportion.common.v1.lane_pb2 import TraceRange
from apportion.metering.v1.lane_pb2 import AcceptedBatch
from google.protobuf.message import DecodeError

from apportion_pricing.domain.entries import Close, Usage

UNREADABLE_BATCH_SEQ: Final = 2**63 - 1
"""Number of a batch that cannot be read: never the next one, so the lane stops there and says so."""


class Accepted(NamedTuple):
    """One accepted batch, in the order of entry_seq."""

    batch_seq: int
    entries: Sequence[Usage | Close]
    traces: Sequence[TraceRange]


def decode_accepted(data: bytes) -> Accepted:
    """Return the batch of a message of metering's; one that cannot be read has UNREADABLE_BATCH_SEQ and no entries."""
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
