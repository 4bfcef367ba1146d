"""Intake: check each event's form, put the good ones on their lanes, and answer as the caller chose (spec 04)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from apportion.metering.v1 import lane_pb2, metering_service_pb2
from apportion_common import failpoints
from apportion_common.clock import Clock
from apportion_common.ids import lane_of
from apportion_common.protos import pack_int

from apportion_metering import errors
from apportion_metering.app import metrics
from apportion_metering.app.ports import CommitReplies, IntakeStream
from apportion_metering.domain.intake import (
    CheckedEvent,
    CompactEvent,
    ReadableEvent,
    Rejected,
    check_compact,
    check_readable,
)
from apportion_metering.domain.lanes import PlannedMessage, plan_messages
from apportion_metering.limits import (
    CALL_EVENTS_MAX,
    ENTRY_OVERHEAD_BYTES,
    LABEL_OVERHEAD_BYTES,
    MESSAGE_BYTES_MAX,
    MESSAGE_ENTRIES_MAX,
    MESSAGE_OVERHEAD_BYTES,
    REJECTION_MESSAGE_CHARS_MAX,
)

AFTER_PUBLISH: Final = failpoints.register("metering.intake.after_publish")
"""The events are on the stream; the caller has no answer."""
BEFORE_ANSWER: Final = failpoints.register("metering.intake.before_answer")
"""The lanes have committed the events and said so; the caller has no answer."""

_SOURCES: Final = frozenset(metering_service_pb2.EventSource.values())


@dataclass(frozen=True, slots=True)
class Rejection:
    """An event that was not taken, by its index in the call."""

    index: int
    why: Rejected


@dataclass(slots=True)
class IngestResult:
    """What became of a call's events."""

    accepted_count: int = 0
    duplicate_count: int = 0
    mismatch_count: int = 0
    dead_letter_count: int = 0
    rejections: list[Rejection] = field(default_factory=list)
    outcomes: list[tuple[int, int]] = field(default_factory=list)
    """(index in the call, EntryOutcome) of every taken event that was not simply stored."""


@dataclass(slots=True)
class _Taken:
    """The events that passed: as checked, their index in the call, their source."""

    events: list[CheckedEvent] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)


class Ingest:
    """The use case behind IngestEvents."""

    def __init__(self, stream: IntakeStream, replies: CommitReplies, clock: Clock) -> None:
        self._stream = stream
        self._replies = replies
        self._clock = clock

    async def run(
        self,
        readable: Sequence[metering_service_pb2.UsageEvent],
        compact: Sequence[metering_service_pb2.CompactUsageEvent],
        *,
        committed: bool,
        producer: str,
        traceparent: str,
        wait_s: float,
    ) -> IngestResult:
        """Take the events that are well formed.

        With `committed` it waits up to `wait_s` for their lanes, else for the stream's disk only. Raises
        InvalidArgument BATCH_EMPTY and BATCH_TOO_LARGE, FailedPrecondition STREAM_NOT_DURABLE, Unavailable
        STREAM_UNAVAILABLE and COMMIT_UNKNOWN (none, some or all was taken, as after a reconnect within the call).
        """
        count = len(readable) + len(compact)
        if count == 0:
            raise errors.batch_empty()
        if count > CALL_EVENTS_MAX:
            raise errors.batch_too_large(count)
        if not committed:
            await self._stream.require_durable()
        received_at_us = self._clock.now_us()
        taken, result = _check(readable, compact)
        _count_rejections(result.rejections)
        if not taken.events:
            return result
        plans = _plan(taken.events)
        envelope = lane_pb2.IntakeMessage(received_at_us=received_at_us, producer=producer, traceparent=traceparent)
        if committed:
            await self._commit(taken, plans, envelope, wait_s, result)
            failpoints.hit(BEFORE_ANSWER, events=len(taken.events), accepted=result.accepted_count)
        else:
            await self._publish([(plan.lane, _message(envelope, taken, plan)) for plan in plans])
            # A reconnect meanwhile may have led to a server that flushes later, whose acknowledgement promises less.
            await self._stream.require_durable()
            result.accepted_count = len(taken.events)
        metrics.TAKEN.labels("committed" if committed else "enqueued").inc(len(taken.events))
        return result

    async def _publish(self, messages: Sequence[tuple[int, bytes]]) -> None:
        await self._stream.publish(messages)
        failpoints.hit(AFTER_PUBLISH, lanes=[lane for lane, _ in messages])

    async def _commit(
        self,
        taken: _Taken,
        plans: Sequence[PlannedMessage],
        envelope: lane_pb2.IntakeMessage,
        wait_s: float,
        result: IngestResult,
    ) -> None:
        """Publish with a subject to answer on, and gather what the lanes say."""
        pending = self._replies.expect(len(plans))
        try:
            messages = []
            for number, plan in enumerate(plans):
                envelope.reply_to = pending.subject(number)
                messages.append((plan.lane, _message(envelope, taken, plan)))
            await self._publish(messages)
            try:
                reports = await pending.wait(wait_s)
            except TimeoutError:
                raise errors.commit_unknown() from None
        finally:
            pending.close()
        counts: Counter[int] = Counter()
        for plan, raw in zip(plans, reports, strict=True):
            outcomes = lane_pb2.CommitReport.FromString(raw).outcomes
            counts.update(outcomes)
            for entry, outcome in zip(plan.entries, outcomes, strict=True):
                if outcome != lane_pb2.ENTRY_OUTCOME_ACCEPTED:
                    result.outcomes.append((taken.indexes[entry], outcome))
        result.outcomes.sort()
        result.accepted_count = counts[lane_pb2.ENTRY_OUTCOME_ACCEPTED]
        result.duplicate_count = counts[lane_pb2.ENTRY_OUTCOME_DUPLICATE]
        result.mismatch_count = counts[lane_pb2.ENTRY_OUTCOME_PAYLOAD_MISMATCH]
        result.dead_letter_count = counts[lane_pb2.ENTRY_OUTCOME_DEAD_LETTERED]


def _check(
    readable: Sequence[metering_service_pb2.UsageEvent], compact: Sequence[metering_service_pb2.CompactUsageEvent]
) -> tuple[_Taken, IngestResult]:
    """The events that are well formed, and why the others are not."""
    taken, result = _Taken(), IngestResult()
    for index, event in enumerate(readable):
        time = event.event_time if event.HasField("event_time") else None
        checked = check_readable(
            ReadableEvent(
                event.org_id,
                event.project_id,
                event.request_id,
                event.sku,
                event.quantity.value,
                None if time is None else (time.seconds, time.nanos),
                event.metadata,
            )
        )
        _sort(checked, index, event.source, taken, result)
    for index, small in enumerate(compact, len(readable)):
        checked = check_compact(
            CompactEvent(
                small.org_id,
                small.project_id,
                small.request_id,
                small.sku,
                small.quantity_unscaled,
                small.quantity_scale,
                small.event_time_us,
                small.metadata,
            )
        )
        _sort(checked, index, small.source, taken, result)
    return taken, result


def _sort(checked: CheckedEvent | Rejected, index: int, source: int, taken: _Taken, result: IngestResult) -> None:
    if isinstance(checked, Rejected):
        result.rejections.append(Rejection(index, checked))
    elif source not in _SOURCES:
        refusal = errors.source_unknown()
        result.rejections.append(Rejection(index, Rejected(refusal.reason, "source", refusal.message)))
    else:
        taken.events.append(checked)
        taken.indexes.append(index)
        taken.sources.append(source)


def _plan(events: Sequence[CheckedEvent]) -> list[PlannedMessage]:
    """Which events travel in which message."""
    lanes: dict[bytes, int] = {}
    numbers = []
    sizes = []
    for org_id, _, request_id, sku, _, _, metadata, _ in events:
        lane = lanes.get(org_id)
        if lane is None:
            lane = lanes[org_id] = lane_of(org_id)
        numbers.append(lane)
        size = ENTRY_OVERHEAD_BYTES + len(request_id) + len(sku)
        if metadata:
            size += sum(
                LABEL_OVERHEAD_BYTES + len(key.encode()) + len(value.encode()) for key, value in metadata.items()
            )
        sizes.append(size)
    return plan_messages(numbers, sizes, MESSAGE_OVERHEAD_BYTES, MESSAGE_ENTRIES_MAX, MESSAGE_BYTES_MAX)


def _message(envelope: lane_pb2.IntakeMessage, taken: _Taken, plan: PlannedMessage) -> bytes:
    """One message: the envelope and its entries."""
    message = lane_pb2.IntakeMessage()
    message.MergeFrom(envelope)
    add = message.entries.add
    events, sources = taken.events, taken.sources
    for index in plan.entries:
        org_id, project_id, request_id, sku, quantity, event_time_us, metadata, digest = events[index]
        event = add().event
        event.org_id = org_id
        if project_id:
            event.project_id = project_id
        event.request_id = request_id
        event.sku = sku
        event.quantity = pack_int(quantity)
        event.event_time_us = event_time_us
        if metadata:
            event.metadata.update(metadata)
        event.content_hash = digest
        event.source = sources[index]
    return message.SerializeToString()


def _count_rejections(rejections: Sequence[Rejection]) -> None:
    for reason, count in Counter(rejection.why.reason for rejection in rejections).items():
        metrics.REJECTED.labels(reason).inc(count)


def rejection_message(why: Rejected) -> str:
    """The text that a caller gets: the field at fault and a sentence."""
    return f"{why.field}: {why.message}"[:REJECTION_MESSAGE_CHARS_MAX]
