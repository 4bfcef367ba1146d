"""RPCs of dead letters."""

from __future__ import annotations

from typing import Any

import grpc
from apportion.metering.v1 import metering_service_pb2 as pb
from apportion.metering.v1.metering_service_pb2_grpc import MeteringServiceServicer
from apportion_common.caller import current_caller
from apportion_common.db.idempotency import mutation

from apportion_metering.app.dead_letters import DeadLetters
from apportion_metering.rpc.messages import dead_letter_to_message, filter_from_message

Context = grpc.aio.ServicerContext[Any, Any]


class DeadLetterRpcs(MeteringServiceServicer):
    """What operators do with events that were not charged."""

    dead_letters: DeadLetters

    async def ListDeadLetters(self, request: pb.ListDeadLettersRequest, context: Context) -> pb.ListDeadLettersResponse:
        """Return dead letters, oldest first. INVALID_ARGUMENT PAGE_TOKEN_MALFORMED."""
        wanted = filter_from_message(request.filter)
        found, token = await self.dead_letters.page(wanted, request.page_size, request.page_token)
        return pb.ListDeadLettersResponse(
            dead_letters=[dead_letter_to_message(dead_letter) for dead_letter in found], next_page_token=token
        )

    async def RequeueDeadLetters(
        self, request: pb.RequeueDeadLettersRequest, context: Context
    ) -> pb.RequeueDeadLettersResponse:
        """Send dead letters back into their lanes.

        INVALID_ARGUMENT SELECTION_EMPTY, SELECTION_AMBIGUOUS, INTO_PERIOD_TOO_EARLY, INTO_PERIOD_TOO_LATE.
        """
        return await self.dead_letters.requeue(
            mutation(request, _requeued),
            filter_from_message(request.filter),
            current_caller().subject,
            into_period=request.into_period,
            everything=request.all,
        )

    async def DiscardDeadLetters(
        self, request: pb.DiscardDeadLettersRequest, context: Context
    ) -> pb.DiscardDeadLettersResponse:
        """Close dead letters for good. INVALID_ARGUMENT SELECTION_EMPTY, SELECTION_AMBIGUOUS."""
        return await self.dead_letters.discard(
            mutation(request, _discarded),
            filter_from_message(request.filter),
            request.reason,
            everything=request.all,
        )


def _requeued(count: int) -> pb.RequeueDeadLettersResponse:
    return pb.RequeueDeadLettersResponse(requeued_count=count)


def _discarded(count: int) -> pb.DiscardDeadLettersResponse:
    return pb.DiscardDeadLettersResponse(discarded_count=count)
