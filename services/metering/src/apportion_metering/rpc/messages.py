"""Messages of MeteringService to values, and values to messages."""

from __future__ import annotations

from typing import Final

from apportion.metering.v1 import metering_service_pb2 as pb
from apportion.metering.v1.lane_pb2 import IntakeEvent
from apportion_common.decimals import QUANTITY_PLACES
from apportion_common.fields import text_of
from apportion_common.ids import parse_uuid
from apportion_common.protos import scaled_to_decimal_proto, unpack_int, us_to_timestamp, uuid_text
from apportion_common.topology import DEAD_LETTER_REASONS

from apportion_metering import errors
from apportion_metering.app.lanes import PipelineStatus
from apportion_metering.app.usage_events import IngestResult
from apportion_metering.domain.dead_letters import DISCARDED, OPEN, REQUEUED, DeadLetter, DeadLetterFilter
from apportion_metering.domain.dedupe import DEAD_LETTERED, DUPLICATE, MISMATCH
from apportion_metering.domain.intake import CompactEvent, ReadableEvent, Rejection
from apportion_metering.domain.progress import EventProgress, EventState
from apportion_metering.domain.stream import StreamCondition
from apportion_metering.limits import REJECTION_MESSAGE_CHARS_MAX

_SOURCES: Final = frozenset(pb.EventSource.values())
_DEAD_LETTER_STATES: Final = {
    OPEN: pb.DEAD_LETTER_STATE_OPEN,
    REQUEUED: pb.DEAD_LETTER_STATE_REQUEUED,
    DISCARDED: pb.DEAD_LETTER_STATE_DISCARDED,
}
_DEAD_LETTER_STATE_NAMES: Final = {value: name for name, value in _DEAD_LETTER_STATES.items()}
_OUTCOMES: Final = {
    DUPLICATE: pb.ENTRY_OUTCOME_KIND_DUPLICATE,
    MISMATCH: pb.ENTRY_OUTCOME_KIND_PAYLOAD_MISMATCH,
    DEAD_LETTERED: pb.ENTRY_OUTCOME_KIND_DEAD_LETTERED,
}
_EVENT_STATES: Final = {
    EventState.UNKNOWN: pb.EVENT_STATE_UNKNOWN,
    EventState.ACCEPTED: pb.EVENT_STATE_ACCEPTED,
    EventState.RATED: pb.EVENT_STATE_RATED,
    EventState.POSTED: pb.EVENT_STATE_POSTED,
    EventState.DEAD_LETTERED: pb.EVENT_STATE_DEAD_LETTERED,
}
_STREAM_CONDITIONS: Final = {
    StreamCondition.DURABLE: pb.STREAM_CONDITION_DURABLE,
    StreamCondition.NOT_DURABLE: pb.STREAM_CONDITION_NOT_DURABLE,
    StreamCondition.UNKNOWN: pb.STREAM_CONDITION_UNKNOWN,
    StreamCondition.UNREACHABLE: pb.STREAM_CONDITION_UNREACHABLE,
}


def readable_from_message(event: pb.UsageEvent) -> ReadableEvent:
    """Return an event as its producer wrote it."""
    time = event.event_time if event.HasField("event_time") else None
    source = event.source
    return ReadableEvent(
        event.org_id,
        event.project_id,
        event.request_id,
        event.sku,
        event.quantity.value,
        None if time is None else (time.seconds, time.nanos),
        event.metadata,
        source if source in _SOURCES else None,
    )


def compact_from_message(event: pb.CompactUsageEvent) -> CompactEvent:
    """Return a compact event as its producer wrote it."""
    source = event.source
    return CompactEvent(
        event.org_id,
        event.project_id,
        event.request_id,
        event.sku,
        event.quantity_unscaled,
        event.quantity_scale,
        event.event_time_us,
        event.metadata,
        source if source in _SOURCES else None,
    )


def ingest_result_to_message(result: IngestResult) -> pb.IngestEventsResponse:
    """Return what became of a call's events."""
    response = pb.IngestEventsResponse(
        accepted_count=result.accepted_count,
        duplicate_count=result.duplicate_count,
        mismatch_count=result.mismatch_count,
        dead_letter_count=result.dead_letter_count,
    )
    for event in result.rejected:
        rejection = event.rejection
        response.rejections.add(index=event.index, reason=rejection.reason, message=_rejection_text(rejection))
    for index, outcome in result.outcomes:
        response.outcomes.add(index=index, outcome=_OUTCOMES[outcome])
    return response


def progress_to_message(progress: EventProgress) -> pb.EventStatus:
    """Return how far an event has come."""
    status = pb.EventStatus(request_id=progress.request_id, state=_EVENT_STATES[progress.state], reason=progress.reason)
    if progress.known is not None:
        status.event_id = str(progress.known.event_id)
        status.lane = progress.known.lane
        status.batch_seq = progress.known.batch_seq
        status.entry_seq = progress.known.entry_seq or 0
    return status


def filter_from_message(wanted: pb.DeadLetterFilter) -> DeadLetterFilter:
    """Return which dead letters are meant. InvalidArgument ID_MALFORMED, DEAD_LETTER_REASON_UNKNOWN."""
    if wanted.reason and wanted.reason not in DEAD_LETTER_REASONS:
        raise errors.dead_letter_reason_unknown()
    return DeadLetterFilter(
        org_id=parse_uuid(wanted.org_id) if wanted.org_id else None,
        reason=wanted.reason,
        dead_letter_ids=tuple(parse_uuid(dead_letter_id) for dead_letter_id in wanted.dead_letter_ids),
        state=_DEAD_LETTER_STATE_NAMES.get(wanted.state, ""),
    )


def dead_letter_to_message(dead_letter: DeadLetter) -> pb.DeadLetter:
    """Return a dead letter, with its event where it names one."""
    message = pb.DeadLetter(
        dead_letter_id=str(dead_letter.dead_letter_id),
        org_id=text_of(dead_letter.org_id),
        request_id=dead_letter.request_id or "",
        reason=dead_letter.reason,
        detail=dead_letter.detail,
        state=_DEAD_LETTER_STATES[dead_letter.state],
        attempts=dead_letter.attempts,
        lane=dead_letter.lane,
    )
    message.created_at.FromDatetime(dead_letter.created_at)
    if dead_letter.org_id is not None:
        message.event.CopyFrom(_event_of_payload(dead_letter.payload))
    return message


def pipeline_to_message(status: PipelineStatus) -> pb.GetPipelineStatusResponse:
    """Return the state of every lane and of the whole."""
    lanes = [
        pb.LaneStatus(
            lane=lane.state.lane,
            stream_seq=lane.state.stream_seq,
            stream_last_seq=lane.stream_last_seq,
            batch_seq=lane.state.batch_seq,
            rated_batch_seq=lane.state.rated_batch_seq,
            posted_batch_seq=lane.state.posted_batch_seq,
            stopped_reason=lane.state.stopped_reason,
        )
        for lane in status.lanes
    ]
    return pb.GetPipelineStatusResponse(
        lanes=lanes,
        event_count=status.event_count,
        open_dead_letters=status.open_dead_letters,
        drained=status.drained,
        stream_durable=status.stream.is_durable,
        stream_condition=_STREAM_CONDITIONS[status.stream.condition],
        stream_condition_since=us_to_timestamp(status.stream.since_us),
        stream_condition_detail=status.stream.why,
    )


def _rejection_text(rejection: Rejection) -> str:
    """Return the text that a caller gets: the field at fault and a sentence."""
    return f"{rejection.field}: {rejection.message}"[:REJECTION_MESSAGE_CHARS_MAX]


def _event_of_payload(payload: bytes) -> pb.UsageEvent:
    """Return the event of a dead letter, as its producer would write it."""
    event = IntakeEvent.FromString(payload)
    return pb.UsageEvent(
        org_id=uuid_text(event.org_id),
        project_id=uuid_text(event.project_id) if event.project_id else "",
        sku=event.sku,
        quantity=scaled_to_decimal_proto(unpack_int(event.quantity), QUANTITY_PLACES),
        event_time=us_to_timestamp(event.event_time_us),
        request_id=event.request_id,
        metadata=event.metadata,
        source=pb.EventSource.Name(event.source) if event.source in _SOURCES else None,
    )
