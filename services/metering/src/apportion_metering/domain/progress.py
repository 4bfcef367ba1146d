"""How far events and lanes have come, as far as metering has been told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from apportion_metering.domain.dead_letters import DISCARDED, OPEN, REQUEUED


class EventState(Enum):
    """How far an event has come."""

    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    RATED = "rated"
    POSTED = "posted"
    DEAD_LETTERED = "dead-lettered"


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """What is stored about an id."""

    request_id: str
    event_id: UUID
    lane: int
    batch_seq: int
    entry_seq: int | None
    dead_letter_state: str
    """State of its dead letter, or empty."""
    dead_letter_reason: str
    dead_letter_taken: bool
    """Whether the lane has claimed the dead letter's last requeue."""


@dataclass(frozen=True, slots=True)
class EventProgress:
    """How far one event has come; `known` is None when its id is not known here."""

    request_id: str
    state: EventState
    reason: str
    known: KnownEvent | None


@dataclass(frozen=True, slots=True)
class LaneState:
    """A lane's cursor on the stream, and its last batch that was accepted, rated and posted."""

    lane: int
    stream_seq: int
    batch_seq: int
    rated_batch_seq: int
    posted_batch_seq: int
    stopped_reason: str


def progress_of(request_id: str, known: KnownEvent | None, lanes: Mapping[int, LaneState]) -> EventProgress:
    """Return an event's state: its dead letter's, unless the lane has claimed its requeue, else by its batch."""
    if known is None:
        return EventProgress(request_id, EventState.UNKNOWN, "", None)
    lost = known.dead_letter_state in (OPEN, DISCARDED)
    if lost or (known.dead_letter_state == REQUEUED and not known.dead_letter_taken):
        return EventProgress(request_id, EventState.DEAD_LETTERED, known.dead_letter_reason, known)
    lane = lanes[known.lane]
    if lane.posted_batch_seq >= known.batch_seq:
        state = EventState.POSTED
    elif lane.rated_batch_seq >= known.batch_seq:
        state = EventState.RATED
    else:
        state = EventState.ACCEPTED
    return EventProgress(request_id, state, "", known)


class LaneTargets:
    """Which lanes have still to post what their subjects held at an instant, however much comes after it."""

    def __init__(self, last_seqs: Mapping[int, int]) -> None:
        """`last_seqs` are the lanes' last sequences on the stream at that instant; 0 for a lane without messages."""
        self._last_seqs = dict(last_seqs)
        self._batches: dict[int, int] = {}

    def behind(self, lanes: Sequence[LaneState]) -> int:
        """Return how many lanes have not posted it by now, these being their states."""
        known = {lane.lane: lane for lane in lanes}
        behind = 0
        for number, last_seq in self._last_seqs.items():
            lane = known.get(number)
            if lane is None:
                # Nobody has worked it ever; without messages there is nothing to do.
                behind += last_seq > 0
                continue
            if lane.stream_seq >= last_seq:
                self._batches.setdefault(number, lane.batch_seq)
            behind += number not in self._batches or lane.posted_batch_seq < self._batches[number]
        return behind


def is_drained(lanes: Sequence[LaneState], last_seqs: Mapping[int, int]) -> bool:
    """Return whether every lane has committed, and got answered, all that the stream holds (lane → last sequence)."""
    if not last_seqs.keys() <= {lane.lane for lane in lanes}:
        return False
    return all(
        lane.stream_seq >= last_seqs.get(lane.lane, 0)
        and lane.rated_batch_seq == lane.batch_seq
        and lane.posted_batch_seq == lane.batch_seq
        for lane in lanes
    )
