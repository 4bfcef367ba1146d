"""Usage events: check their form, put the good ones on their lanes, answer as the caller chose, tell their state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final
from uuid import UUID

from apportion_common import failpoints
from apportion_common.clock import Clock
from apportion_common.db.unit_of_work import Database

from apportion_metering import errors
from apportion_metering.app import metrics
from apportion_metering.app.edges import CommitReplies, IntakeStream
from apportion_metering.domain.dedupe import ACCEPTED, DEAD_LETTERED, DUPLICATE, MISMATCH
from apportion_metering.domain.intake import (
    CheckedEvent,
    CompactEvent,
    ReadableEvent,
    Rejection,
    check_compact,
    check_readable,
)
from apportion_metering.domain.messages import Envelope, PlannedMessage, plan_events
from apportion_metering.domain.progress import EventProgress, progress_of
from apportion_metering.limits import CALL_EVENTS_MAX
from apportion_metering.store.events import EventStore
from apportion_metering.store.journal import JournalStore

AFTER_PUBLISH: Final = failpoints.register("metering.intake.after_publish")
"""The events are on the stream; the caller has no answer."""
BEFORE_ANSWER: Final = failpoints.register("metering.intake.before_answer")
"""The lanes have committed the events and answered; the caller has no answer."""


@dataclass(frozen=True, slots=True)
class RejectedEvent:
    """An event that was not taken, by its index in the call."""

    index: int
    rejection: Rejection


@dataclass(slots=True)
class IngestResult:
    """What became of a call's events."""

    accepted_count: int = 0
    duplicate_count: int = 0
    mismatch_count: int = 0
    dead_letter_count: int = 0
    rejected: list[RejectedEvent] = field(default_factory=list)
    outcomes: list[tuple[int, int]] = field(default_factory=list)
    """(index in the call, outcome of `domain.dedupe`) of every taken event that was not simply stored."""


class UsageEvents:
    """The use cases behind IngestEvents and GetEventStatus."""

    def __init__(
        self,
        database: Database,
        events: EventStore,
        journal: JournalStore,
        stream: IntakeStream,
        replies: CommitReplies,
        clock: Clock,
    ) -> None:
        self._database = database
        self._events = events
        self._journal = journal
        self._stream = stream
        self._replies = replies
        self._clock = clock

    async def ingest(
        self,
        readable: Sequence[ReadableEvent],
        compact: Sequence[CompactEvent],
        *,
        committed: bool,
        producer: str,
        traceparent: str,
        wait_s: float,
    ) -> IngestResult:
        """Take the events that are well formed.

        With `committed` it waits up to `wait_s` for their lanes, else for the stream's disk only. Raises
        InvalidArgument BATCH_EMPTY and BATCH_TOO_LARGE, FailedPrecondition STREAM_NOT_DURABLE (as the stream is set
        up), Unavailable STREAM_UNAVAILABLE and COMMIT_UNKNOWN (now: none, some or all was taken, as after a reconnect
        within the call).
        """
        count = len(readable) + len(compact)
        if count == 0:
            raise errors.batch_empty()
        if count > CALL_EVENTS_MAX:
            raise errors.batch_too_large(count)
        if not committed:
            await self._stream.require_durable()
        envelope = Envelope(self._clock.now_us(), producer, traceparent)
        result = IngestResult()
        events, indexes = _check(readable, compact, result.rejected)
        if not events:
            return result
        messages = plan_events(events)
        if committed:
            await self._commit(envelope, events, indexes, messages, wait_s, result)
            failpoints.hit(BEFORE_ANSWER, events=len(events), accepted=result.accepted_count)
        else:
            await self._publish(envelope, events, messages)
            # A reconnect meanwhile may have led to a server that flushes later, whose acknowledgement promises less.
            await self._stream.require_durable()
            result.accepted_count = len(events)
        metrics.TAKEN.labels("committed" if committed else "enqueued").inc(len(events))
        return result

    async def status(self, org_id: UUID, request_ids: Sequence[str]) -> list[EventProgress]:
        """Return how far events of an organisation have come, in the order of their ids."""
        async with self._database.read(snapshot=True) as connection:
            found = {event.request_id: event for event in await self._events.status(connection, org_id, request_ids)}
            lanes = {lane.lane: lane for lane in await self._journal.lanes(connection)} if found else {}
        return [progress_of(request_id, found.get(request_id), lanes) for request_id in request_ids]

    async def _publish(
        self,
        envelope: Envelope,
        events: Sequence[CheckedEvent],
        messages: Sequence[PlannedMessage],
        reply_to: Sequence[str] = (),
    ) -> None:
        await self._stream.publish(envelope, events, messages, reply_to)
        failpoints.hit(AFTER_PUBLISH, lanes=[message.lane for message in messages])

    async def _commit(
        self,
        envelope: Envelope,
        events: Sequence[CheckedEvent],
        indexes: Sequence[int],
        messages: Sequence[PlannedMessage],
        wait_s: float,
        result: IngestResult,
    ) -> None:
        """Publish with a subject to answer on, and gather the lanes' answers."""
        pending = self._replies.expect(len(messages))
        try:
            await self._publish(envelope, events, messages, [pending.subject(n) for n in range(len(messages))])
            try:
                reports = await pending.wait(wait_s)
            except TimeoutError:
                raise errors.commit_unknown() from None
        finally:
            pending.close()
        counts: Counter[int] = Counter()
        for message, outcomes in zip(messages, reports, strict=True):
            counts.update(outcomes)
            for entry, outcome in zip(message.entries, outcomes, strict=True):
                if outcome != ACCEPTED:
                    result.outcomes.append((indexes[entry], outcome))
        result.outcomes.sort()
        result.accepted_count = counts[ACCEPTED]
        result.duplicate_count = counts[DUPLICATE]
        result.mismatch_count = counts[MISMATCH]
        result.dead_letter_count = counts[DEAD_LETTERED]


def _check(
    readable: Sequence[ReadableEvent], compact: Sequence[CompactEvent], rejected: list[RejectedEvent]
) -> tuple[list[CheckedEvent], list[int]]:
    """Return the events that are well formed, and their indexes in the call; add why the others are not."""
    events: list[CheckedEvent] = []
    indexes: list[int] = []
    checks: Iterable[CheckedEvent | Rejection] = chain(map(check_readable, readable), map(check_compact, compact))
    for index, checked in enumerate(checks):
        if isinstance(checked, CheckedEvent):
            events.append(checked)
            indexes.append(index)
        else:
            rejected.append(RejectedEvent(index, checked))
    for reason, count in Counter(event.rejection.reason for event in rejected).items():
        metrics.REJECTED.labels(reason).inc(count)
    return events, indexes
