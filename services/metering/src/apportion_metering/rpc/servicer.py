"""MeteringService: proto in, use case, proto out. What is not built is inherited and answers UNIMPLEMENTED."""

from __future__ import annotations

import grpc
from apportion.metering.v1 import metering_service_pb2 as pb
from apportion.metering.v1 import metering_service_pb2_grpc as rpc
from apportion.metering.v1.lane_pb2 import IntakeEvent
from apportion_common.caller import current_caller
from apportion_common.db.actor import current_traceparent
from apportion_common.db.idempotency import run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.decimals import QUANTITY_PLACES
from apportion_common.ids import parse_uuid
from apportion_common.protos import scaled_to_decimal_proto, unpack_int, us_to_timestamp, uuid_text

from apportion_metering.app.close_period import ClosePeriod
from apportion_metering.app.dead_letters import DeadLetterDesk
from apportion_metering.app.ingest import Ingest, rejection_message
from apportion_metering.app.ports import AuditTrail, Letter, LetterFilter
from apportion_metering.app.status import EventProgress, Status
from apportion_metering.domain.dead_letters import DISCARDED, OPEN, REQUEUED
from apportion_metering.limits import COMMIT_MARGIN_MS

SERVICE = "apportion.metering.v1.MeteringService"

_STATES = {
    OPEN: pb.DEAD_LETTER_STATE_OPEN,
    REQUEUED: pb.DEAD_LETTER_STATE_REQUEUED,
    DISCARDED: pb.DEAD_LETTER_STATE_DISCARDED,
}
_STATE_NAMES = {value: name for name, value in _STATES.items()}
_OUTCOMES = {
    2: pb.ENTRY_OUTCOME_KIND_DUPLICATE,
    3: pb.ENTRY_OUTCOME_KIND_PAYLOAD_MISMATCH,
    4: pb.ENTRY_OUTCOME_KIND_DEAD_LETTERED,
}
"""EntryOutcome, as the lanes report it, to EntryOutcomeKind."""


class MeteringServicer(rpc.MeteringServiceServicer):
    """MeteringService; what is not built yet inherits UNIMPLEMENTED."""

    def __init__(
        self,
        database: Database,
        *,
        ingest: Ingest,
        desk: DeadLetterDesk,
        close_period: ClosePeriod,
        status: Status,
        audit: AuditTrail,
        commit_wait_s: float,
    ) -> None:
        self._database = database
        self._ingest = ingest
        self._desk = desk
        self._close_period = close_period
        self._status = status
        self._audit = audit
        self._commit_wait_s = commit_wait_s

    async def IngestEvents(
        self,
        request: pb.IngestEventsRequest,
        context: grpc.aio.ServicerContext[pb.IngestEventsRequest, pb.IngestEventsResponse],
    ) -> pb.IngestEventsResponse:
        """Take events in."""
        left_s = context.time_remaining()
        wait_s = self._commit_wait_s if left_s is None else max(left_s - COMMIT_MARGIN_MS / 1_000, 0)
        result = await self._ingest.run(
            request.events,
            request.compact_events,
            committed=request.acknowledgement == pb.ACKNOWLEDGEMENT_COMMITTED,
            producer=current_caller().subject,
            traceparent=current_traceparent(),
            wait_s=min(wait_s, self._commit_wait_s),
        )
        response = pb.IngestEventsResponse(
            accepted_count=result.accepted_count,
            duplicate_count=result.duplicate_count,
            mismatch_count=result.mismatch_count,
            dead_letter_count=result.dead_letter_count,
        )
        for rejection in result.rejections:
            response.rejections.add(
                index=rejection.index, reason=rejection.why.reason, message=rejection_message(rejection.why)
            )
        for index, outcome in result.outcomes:
            response.outcomes.add(index=index, outcome=_OUTCOMES[outcome])
        return response

    async def GetEventStatus(
        self,
        request: pb.GetEventStatusRequest,
        context: grpc.aio.ServicerContext[pb.GetEventStatusRequest, pb.GetEventStatusResponse],
    ) -> pb.GetEventStatusResponse:
        """How far events have come."""
        progress = await self._status.of_events(parse_uuid(request.org_id), request.request_ids)
        return pb.GetEventStatusResponse(statuses=[_status(event) for event in progress])

    async def ListDeadLetters(
        self,
        request: pb.ListDeadLettersRequest,
        context: grpc.aio.ServicerContext[pb.ListDeadLettersRequest, pb.ListDeadLettersResponse],
    ) -> pb.ListDeadLettersResponse:
        """Dead letters, oldest first."""
        found, token = await self._desk.page(_filter(request.filter), request.page_size, request.page_token)
        return pb.ListDeadLettersResponse(dead_letters=[_letter(letter) for letter in found], next_page_token=token)

    async def RequeueDeadLetters(
        self,
        request: pb.RequeueDeadLettersRequest,
        context: grpc.aio.ServicerContext[pb.RequeueDeadLettersRequest, pb.RequeueDeadLettersResponse],
    ) -> pb.RequeueDeadLettersResponse:
        """Give dead letters a new place in their lanes."""
        letters, producer = _filter(request.filter), current_caller().subject

        async def requeue(tx: Transaction) -> pb.RequeueDeadLettersResponse:
            return pb.RequeueDeadLettersResponse(requeued_count=await self._desk.requeue(tx, letters, producer))

        return await run_mutation(
            self._database, f"{SERVICE}/RequeueDeadLetters", request, pb.RequeueDeadLettersResponse, requeue
        )

    async def DiscardDeadLetters(
        self,
        request: pb.DiscardDeadLettersRequest,
        context: grpc.aio.ServicerContext[pb.DiscardDeadLettersRequest, pb.DiscardDeadLettersResponse],
    ) -> pb.DiscardDeadLettersResponse:
        """Close dead letters for good."""
        letters = _filter(request.filter)

        async def discard(tx: Transaction) -> pb.DiscardDeadLettersResponse:
            return pb.DiscardDeadLettersResponse(discarded_count=await self._desk.discard(tx, letters, request.reason))

        return await run_mutation(
            self._database, f"{SERVICE}/DiscardDeadLetters", request, pb.DiscardDeadLettersResponse, discard
        )

    async def ClosePeriod(
        self,
        request: pb.ClosePeriodRequest,
        context: grpc.aio.ServicerContext[pb.ClosePeriodRequest, pb.ClosePeriodResponse],
    ) -> pb.ClosePeriodResponse:
        """Put a period's close into the lanes."""
        org_ids, producer = [parse_uuid(org_id) for org_id in request.org_ids], current_caller().subject

        async def close(tx: Transaction) -> pb.ClosePeriodResponse:
            await self._close_period.run(tx, request.period, org_ids, producer)
            return pb.ClosePeriodResponse()

        return await run_mutation(self._database, f"{SERVICE}/ClosePeriod", request, pb.ClosePeriodResponse, close)

    async def GetPipelineStatus(
        self,
        request: pb.GetPipelineStatusRequest,
        context: grpc.aio.ServicerContext[pb.GetPipelineStatusRequest, pb.GetPipelineStatusResponse],
    ) -> pb.GetPipelineStatusResponse:
        """Where every lane stands."""
        status = await self._status.of_pipeline()
        lanes = [
            pb.LaneStatus(
                lane=lane.place.lane,
                stream_seq=lane.place.stream_seq,
                stream_last_seq=lane.stream_last_seq,
                batch_seq=lane.place.batch_seq,
                rated_batch_seq=lane.place.rated_batch_seq,
                posted_batch_seq=lane.place.posted_batch_seq,
                stopped_reason=lane.place.stopped_reason,
            )
            for lane in status.lanes
        ]
        return pb.GetPipelineStatusResponse(
            lanes=lanes,
            event_count=status.event_count,
            open_dead_letters=status.open_dead_letters,
            drained=status.drained,
            stream_durable=status.stream_durable,
        )

    async def ListAudit(
        self,
        request: pb.ListAuditRequest,
        context: grpc.aio.ServicerContext[pb.ListAuditRequest, pb.ListAuditResponse],
    ) -> pb.ListAuditResponse:
        """This service's audit entries, newest first. INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        entries, token = await self._audit.page(request.query)
        return pb.ListAuditResponse(entries=entries, next_page_token=token)


def _filter(letters: pb.DeadLetterFilter) -> LetterFilter:
    return LetterFilter(
        org_id=parse_uuid(letters.org_id) if letters.org_id else None,
        reason=letters.reason,
        dead_letter_ids=tuple(parse_uuid(letter_id) for letter_id in letters.dead_letter_ids),
        state=_STATE_NAMES.get(letters.state, ""),
    )


def _letter(letter: Letter) -> pb.DeadLetter:
    message = pb.DeadLetter(
        dead_letter_id=str(letter.dead_letter_id),
        org_id=str(letter.org_id or ""),
        request_id=letter.request_id or "",
        reason=letter.reason,
        detail=letter.detail,
        state=_STATES[letter.state],
        attempts=letter.attempts,
        lane=letter.lane,
    )
    message.created_at.FromDatetime(letter.created_at)
    if letter.org_id is not None:
        message.event.CopyFrom(_event(letter.payload))
    return message


def _event(payload: bytes) -> pb.UsageEvent:
    """The event of a dead letter, as its producer would write it."""
    event = IntakeEvent.FromString(payload)
    return pb.UsageEvent(
        org_id=uuid_text(event.org_id),
        project_id=uuid_text(event.project_id) if event.project_id else "",
        sku=event.sku,
        quantity=scaled_to_decimal_proto(unpack_int(event.quantity), QUANTITY_PLACES),
        event_time=us_to_timestamp(event.event_time_us),
        request_id=event.request_id,
        metadata=event.metadata,
        source=pb.EventSource.Name(event.source) if event.source in pb.EventSource.values() else None,
    )


def _status(event: EventProgress) -> pb.EventStatus:
    status = pb.EventStatus(request_id=event.request_id, state=event.state, reason=event.reason)
    if event.known is not None:
        status.event_id = str(event.known.event_id)
        status.lane = event.known.lane
        status.batch_seq = event.known.batch_seq
        status.entry_seq = event.known.entry_seq or 0
    return status
