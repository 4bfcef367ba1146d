"""What the writer makes of a run of entries: rows to write, entries to publish, an outcome for each entry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from apportion.metering.v1 import lane_pb2
from apportion_common.lanes.model import LanePosition

from apportion_metering.domain.dedupe import DEAD_LETTERED
from apportion_metering.store.dead_letters import NewDeadLetter
from apportion_metering.store.events import NewEvent, NewKey

ORG_ID_BYTES: Final = 16


@dataclass(slots=True)
class BatchCursor:
    """The batch in the making, and the number that its next accepted entry takes."""

    lane: int
    batch_seq: int
    next_entry_seq: int

    @classmethod
    def after(cls, position: LanePosition) -> BatchCursor:
        """Return the cursor of the batch after a lane's position."""
        return cls(position.lane, position.batch_seq + 1, position.next_entry_seq)


@dataclass(slots=True)
class Decision:
    """What becomes of a run of entries."""

    next_entry_seq: int
    events: list[NewEvent] = field(default_factory=list)
    restored: list[NewEvent] = field(default_factory=list)
    """Requeued events that were claimed and never stored."""
    keys: list[NewKey] = field(default_factory=list)
    moved: list[tuple[bytes, bytes, int]] = field(default_factory=list)
    """Keys (org id, request id, entry_seq) of requeued events."""
    dead_letters: list[NewDeadLetter] = field(default_factory=list)
    claimed: list[tuple[bytes, int]] = field(default_factory=list)
    """Requeues (dead letter id, attempt) that the lane has claimed."""
    reopened: list[tuple[bytes, int, str, str]] = field(default_factory=list)
    """Requeues (dead letter id, attempt, reason, detail) that failed again."""
    batch: lane_pb2.AcceptedBatch = field(default_factory=lane_pb2.AcceptedBatch)
    sources: list[str] = field(default_factory=list)
    """The traceparent of each entry that is published."""
    outcomes: list[int] = field(default_factory=list)

    def quarantine(self, dead_letter: NewDeadLetter) -> None:
        """Add an entry that comes to nothing but a dead letter."""
        self.dead_letters.append(dead_letter)
        self.outcomes.append(DEAD_LETTERED)


def merge_decisions(decisions: Sequence[Decision]) -> Decision:
    """Return the decisions on runs of entries, in their order, as one; mostly there is one."""
    merged = decisions[0]
    for decision in decisions[1:]:
        merged.next_entry_seq = decision.next_entry_seq
        merged.events += decision.events
        merged.restored += decision.restored
        merged.keys += decision.keys
        merged.moved += decision.moved
        merged.dead_letters += decision.dead_letters
        merged.claimed += decision.claimed
        merged.reopened += decision.reopened
        merged.batch.MergeFrom(decision.batch)
        merged.sources += decision.sources
        merged.outcomes += decision.outcomes
    return merged


def new_event(
    event: lane_pb2.IntakeEvent, event_id: bytes, name: bytes, content_hash: bytes, received_at_us: int, entry_seq: int
) -> NewEvent:
    """Return the row of an event under its entry number."""
    metadata = event.metadata
    return NewEvent(
        event_id,
        name[:ORG_ID_BYTES],
        name[ORG_ID_BYTES:],
        content_hash,
        event.project_id,
        event.sku,
        event.quantity,
        event.event_time_us,
        event.source,
        received_at_us,
        entry_seq,
        json.dumps(dict(metadata), ensure_ascii=False, sort_keys=True) if metadata else "",
    )


def fill_usage(
    out: lane_pb2.AcceptedEntry, entry_seq: int, event: lane_pb2.IntakeEvent, event_id: bytes, name: bytes
) -> None:
    """Fill in what pricing is told of an event."""
    out.entry_seq = entry_seq
    usage = out.usage
    usage.event_id = event_id
    usage.org_id = name[:ORG_ID_BYTES]
    project_id = event.project_id
    if project_id:
        usage.project_id = project_id
    usage.sku = event.sku
    usage.quantity = event.quantity
    usage.event_time_us = event.event_time_us
