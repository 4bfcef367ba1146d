"""How far events and lanes have come."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from apportion.metering.v1 import metering_service_pb2 as pb
from apportion_common.db.unit_of_work import Database

from apportion_metering.app import metrics
from apportion_metering.app.ports import Events, IntakeStream, Journal, KnownEvent, LanePlace
from apportion_metering.domain.dead_letters import DISCARDED, OPEN, REQUEUED


@dataclass(frozen=True, slots=True)
class EventProgress:
    """How far one event has come; `known` is None when its id is not known here."""

    request_id: str
    state: pb.EventState
    reason: str
    known: KnownEvent | None


@dataclass(frozen=True, slots=True)
class LaneProgress:
    """A lane's place and the last sequence of its subject."""

    place: LanePlace
    stream_last_seq: int


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """The whole pipeline."""

    lanes: list[LaneProgress]
    event_count: int
    open_dead_letters: dict[str, int]
    drained: bool
    stream_durable: bool


class Status:
    """The use cases behind GetEventStatus and GetPipelineStatus."""

    def __init__(self, database: Database, events: Events, journal: Journal, stream: IntakeStream) -> None:
        self._database = database
        self._events = events
        self._journal = journal
        self._stream = stream

    async def of_events(self, org_id: UUID, request_ids: Sequence[str]) -> list[EventProgress]:
        """How far events of an organisation have come, in the order asked."""
        async with self._database.read(snapshot=True) as connection:
            found = {event.request_id: event for event in await self._events.status(connection, org_id, request_ids)}
            places = {place.lane: place for place in await self._journal.places(connection)} if found else {}
        return [_progress(request_id, found.get(request_id), places) for request_id in request_ids]

    async def of_pipeline(self) -> PipelineStatus:
        """Every lane's place; drained when nothing is under way between the stream and the ledger."""
        # The stream is asked first: what is committed afterwards can only be more than what it holds now.
        async with self._database.read() as connection:
            waiting = await self._journal.waiting_controls(connection)
        last_seqs, durable = await asyncio.gather(self._stream.last_seqs(), self._stream.is_durable())
        async with self._database.read(snapshot=True) as connection:
            places = await self._journal.places(connection)
            event_count = await self._journal.event_total(connection)
            letters = await self._journal.open_dead_letters(connection)
            waiting += await self._journal.waiting_controls(connection)
        metrics.LANE_LAG.labels("rated").set(sum(place.batch_seq - place.rated_batch_seq for place in places))
        metrics.LANE_LAG.labels("posted").set(sum(place.batch_seq - place.posted_batch_seq for place in places))
        lanes = [LaneProgress(place, last_seqs.get(place.lane, 0)) for place in places]
        return PipelineStatus(lanes, event_count, letters, waiting == 0 and _drained(lanes, last_seqs), durable)


def _drained(lanes: Sequence[LaneProgress], last_seqs: dict[int, int]) -> bool:
    """Whether every lane has committed, and got answered, all that the stream holds."""
    if not last_seqs.keys() <= {lane.place.lane for lane in lanes}:
        return False
    return all(
        lane.place.stream_seq >= lane.stream_last_seq
        and lane.place.rated_batch_seq == lane.place.batch_seq
        and lane.place.posted_batch_seq == lane.place.batch_seq
        for lane in lanes
    )


def _progress(request_id: str, known: KnownEvent | None, places: dict[int, LanePlace]) -> EventProgress:
    """An event's state: its dead letter's, unless the lane has taken up its requeue, else by its batch."""
    if known is None:
        return EventProgress(request_id, pb.EVENT_STATE_UNKNOWN, "", None)
    lost = known.letter_state in (OPEN, DISCARDED)
    if lost or (known.letter_state == REQUEUED and not known.letter_taken):
        return EventProgress(request_id, pb.EVENT_STATE_DEAD_LETTERED, known.letter_reason, known)
    place = places[known.lane]
    if place.posted_batch_seq >= known.batch_seq:
        state = pb.EVENT_STATE_POSTED
    elif place.rated_batch_seq >= known.batch_seq:
        state = pb.EVENT_STATE_RATED
    else:
        state = pb.EVENT_STATE_ACCEPTED
    return EventProgress(request_id, state, "", known)
