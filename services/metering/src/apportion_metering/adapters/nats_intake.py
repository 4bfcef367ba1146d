"""The intake stream on NATS: publishing to it, whether it is durable, its last messages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import nats.errors
from apportion_common.clock import Clock
from apportion_common.errors import Unavailable
from apportion_common.ids import uuid7
from apportion_common.logs import get_logger
from apportion_common.topology import INTAKE_SUBJECT, METERING_IN, lane_subject
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError

from apportion_metering import errors
from apportion_metering.adapters.intake_messages import usage_message
from apportion_metering.adapters.nats_durability import DurabilityGuard
from apportion_metering.domain.intake import CheckedEvent
from apportion_metering.domain.messages import Envelope, PlannedMessage
from apportion_metering.domain.stream import StreamState
from apportion_metering.limits import PUBLISH_TIMEOUT_S, STREAM_TAIL_INACTIVE_S, STREAM_TAIL_TIMEOUT_S

log = get_logger(__name__)


class NatsIntake:
    """METERING_IN."""

    def __init__(self, client: Client, guard: DurabilityGuard, clock: Clock, *, packed: bool) -> None:
        """Publish by a connection, in records where it is `packed`."""
        self._packed = packed
        self._client = client
        self._jetstream = client.jetstream()
        self._guard = guard
        self._clock = clock

    async def publish(
        self,
        envelope: Envelope,
        events: Sequence[CheckedEvent],
        messages: Sequence[PlannedMessage],
        reply_to: Sequence[str] = (),
    ) -> None:
        """Publish the events in their messages, all at once; return when all are acknowledged.

        `reply_to` has the subject to answer each message on, or nothing. Unavailable STREAM_UNAVAILABLE.

        Without a connection nothing is published: the client would keep it and send it by itself, after the caller was
        told to send it again. That still happens to messages that the connection is lost over, and to those that the
        server takes too late; the lanes store an event once, however many copies arrive.
        """
        if not self._client.is_connected:
            raise errors.stream_unavailable(self._guard.state().outage_since)
        publishing = [
            self._jetstream.publish(
                lane_subject(INTAKE_SUBJECT, message.lane),
                usage_message(
                    envelope, events, message.entries, reply_to[number] if reply_to else "", packed=self._packed
                ),
                timeout=PUBLISH_TIMEOUT_S,
                stream=METERING_IN.name,
            )
            for number, message in enumerate(messages)
        ]
        answers = await asyncio.gather(*publishing, return_exceptions=True)
        for answer in answers:
            if not isinstance(answer, BaseException):
                continue
            if not isinstance(answer, nats.errors.Error | asyncio.TimeoutError | OSError):
                raise answer
            log.warning("metering.publish.failed", error=type(answer).__name__, messages=len(messages))
            raise self._unavailable(answer) from answer
        self._guard.note_answer()

    async def require_durable(self) -> None:
        """Return when the server is known to flush before it acknowledges.

        Raises FailedPrecondition STREAM_NOT_DURABLE when it does not, Unavailable STREAM_UNAVAILABLE while nobody can
        tell.
        """
        await self._guard.require()

    async def state(self) -> StreamState:
        """Return whether the stream answers and flushes before it acknowledges, and since when."""
        return await self._guard.check()

    async def last_seqs(self) -> dict[int, int]:
        """Return the stream sequence of each lane's last message; lanes without one are left out.

        Reads headers only, through a reader that lives for this call. Unavailable STREAM_UNAVAILABLE.
        """
        name = f"lane-ends-{uuid7(self._clock.now_us() * 1_000).hex}"
        try:
            info = await self._jetstream.add_consumer(
                METERING_IN.name,
                ConsumerConfig(
                    name=name,
                    deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
                    filter_subject=f"{INTAKE_SUBJECT}.*",
                    ack_policy=AckPolicy.NONE,
                    headers_only=True,
                    mem_storage=True,
                    num_replicas=1,
                    inactive_threshold=STREAM_TAIL_INACTIVE_S,
                ),
            )
            try:
                return await self._read_ends(name, info.num_pending or 0)
            finally:
                with contextlib.suppress(nats.errors.Error):
                    await self._jetstream.delete_consumer(METERING_IN.name, name)
        except (TimeoutError, nats.errors.Error, OSError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: BaseException) -> Unavailable:
        """Return the error of a request that failed; a stream that refuses (it may be full) has answered."""
        if not isinstance(error, APIError):
            self._guard.note_silence(error)
        return errors.stream_unavailable(self._guard.state().outage_since)

    async def _read_ends(self, consumer: str, count: int) -> dict[int, int]:
        if count == 0:
            return {}
        subscription = await self._jetstream.pull_subscribe_bind(consumer=consumer, stream=METERING_IN.name)
        try:
            ends: list[Msg] = []
            while len(ends) < count:
                ends += await subscription.fetch(count - len(ends), timeout=STREAM_TAIL_TIMEOUT_S)
        finally:
            await subscription.unsubscribe()
        lanes: dict[int, int] = {}
        for message in ends:
            lane = message.subject.rpartition(".")[2]
            if lane.isdigit():
                lanes[int(lane)] = max(lanes.get(int(lane), 0), message.metadata.sequence.stream)
        return lanes
