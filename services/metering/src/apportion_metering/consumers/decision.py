"""What the writer makes of a run of entries: rows to write, entries to publish, an outcome for each entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from apportion.common.v1.lane_pb2 import PeriodClose
from apportion.metering.v1 import lane_pb2
from apportion_common.lanes.model import LanePosition
from apportion_common.lanes.records import INT64_MAX, INT64_MIN, USAGE_RECORD, set_packed_batch_seq
from apportion_common.protos import pack_int

from apportion_metering.domain.dedupe import DEAD_LETTERED
from apportion_metering.domain.entries import EventGroup, TakenEvent
from apportion_metering.store.dead_letters import NewDeadLetter
from apportion_metering.store.events import NewEvent, NewKey

AcceptedEvent = tuple[bytes, TakenEvent]
"""An event's id and the event: what pricing is told under the next entry number."""


class LateEvent(NamedTuple):
    """A requeued event, and the period that bills it if its own is closed."""

    event_id: bytes
    event: TakenEvent
    into_period: str


AcceptedItem = AcceptedEvent | LateEvent | PeriodClose
"""What is published of an entry."""


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
    moved: list[tuple[bytes, int]] = field(default_factory=list)
    """Names of requeued events, with their new entry_seq."""
    dead_letters: list[NewDeadLetter] = field(default_factory=list)
    claimed: list[tuple[bytes, int]] = field(default_factory=list)
    """Requeues (dead letter id, attempt) that the lane has claimed."""
    reopened: list[tuple[bytes, int, str, str]] = field(default_factory=list)
    """Requeues (dead letter id, attempt, reason, detail) that failed again."""
    accepted: list[AcceptedItem] = field(default_factory=list)
    """What is published, in the order of its entry numbers, which have no gaps."""
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
        merged.accepted += decision.accepted
        merged.sources += decision.sources
        merged.outcomes += decision.outcomes
    return merged


def accepted_to_message(
    lane: int,
    batch_seq: int,
    first_entry_seq: int,
    accepted: Sequence[AcceptedItem],
    *,
    packed: bool = True,
) -> lane_pb2.AcceptedBatch:
    """Return the batch that pricing is told, without its traces; all in messages unless `packed`."""
    batch = lane_pb2.AcceptedBatch(lane=lane, batch_seq=batch_seq)
    groups: dict[EventGroup, int] = {}
    records: list[bytes] = []
    append, pack = records.append, USAGE_RECORD.pack
    for entry_seq, entry in enumerate(accepted, first_entry_seq):
        if isinstance(entry, PeriodClose):
            batch.entries.add(entry_seq=entry_seq).period_close.CopyFrom(entry)
            continue
        if isinstance(entry, LateEvent):
            _add_usage(batch, entry_seq, entry.event_id, entry.event, entry.into_period)
            continue
        event_id, event = entry
        _, group, quantity, event_time_us, _, _ = event
        if not packed or not INT64_MIN <= quantity <= INT64_MAX:
            _add_usage(batch, entry_seq, event_id, event)
            continue
        index = groups.get(group)
        if index is None:
            index = groups[group] = len(groups)
        append(pack(index, event_id, quantity, event_time_us))
    if records:
        set_packed_batch_seq(batch, batch_seq)
        batch.first_entry_seq = first_entry_seq
        batch.records = b"".join(records)
        for group in groups:
            batch.groups.add(org_id=group.org_id, project_id=group.project_id, sku=group.sku)
    return batch


def _add_usage(
    batch: lane_pb2.AcceptedBatch, entry_seq: int, event_id: bytes, event: TakenEvent, into_period: str = ""
) -> None:
    """Add an event that no record holds."""
    group = event.group
    batch.entries.add(entry_seq=entry_seq).usage.MergeFrom(
        lane_pb2.AcceptedUsage(
            event_id=event_id,
            org_id=group.org_id,
            project_id=group.project_id,
            sku=group.sku,
            quantity=pack_int(event.quantity),
            event_time_us=event.event_time_us,
            into_period=into_period,
        )
    )
