"""Durable consumers of published events: each event has its effect once.

A message's effect and its inbox row are one transaction; only then is it acknowledged. An error of the surroundings
puts the message back forever, with growing waits; an error of the data does so a few times, then the message is
published to `dead.<stream>.<consumer>` and given up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import nats.errors
from apportion.common.v1.event_pb2 import EventEnvelope
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy.dialects.postgresql import insert

from apportion_common import failpoints
from apportion_common.backoff import Backoff, until_stopped
from apportion_common.bus import metrics
from apportion_common.bus.publish import Outgoing, is_too_large, publish_one, wire_bytes
from apportion_common.db.unit_of_work import SHARED, Database, Transaction
from apportion_common.envelope import open_envelope
from apportion_common.errors import ApportionError, InvalidArgument
from apportion_common.faults import classify
from apportion_common.redaction import redact_text
from apportion_common.seldom import Seldom
from apportion_common.telemetry.conventions import (
    MESSAGING_CONSUMER_GROUP_NAME,
    MESSAGING_DESTINATION_NAME,
    MESSAGING_MESSAGE_ID,
    PROCESSING,
)
from apportion_common.topology import DEAD_SUBJECT

Handler = Callable[[Transaction, EventEnvelope], Awaitable[None]]

ACK_WAIT_S: Final = 30
"""A message that is neither acknowledged nor put back for so long is delivered again."""
HANDLER_TIMEOUT_S: Final = 20
"""Longest work on one message; below ACK_WAIT_S."""
ACK_PENDING_MAX: Final = 64
FETCH_MESSAGES: Final = 16
FETCH_TIMEOUT_S: Final = 1
FETCH_GRACE_S: Final = 4
"""Longest that a fetch may overrun; then it counts as lost."""
DELIVERIES_MAX: Final = 5
"""Tries before an error of the data makes a dead letter."""
PAUSED_POLL_S: Final = 0.5
RETRY_FIRST_S: Final = 0.2
RETRY_MAX_S: Final = 30
"""Longest wait before a message is delivered again, and before a lost server is asked again."""
FAILURE_TEXT_MAX: Final = 200
UNBOUNDED: Final = -1

_POINTS: Final = ("after_execute", "after_commit", "before_ack")
_TRACER: Final = trace.get_tracer("apportion_common.bus")
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_INBOX: Final = SHARED.inbox
_REDELIVERY: Final = Backoff(RETRY_FIRST_S, RETRY_MAX_S)

_log = logging.getLogger(__name__)


def consumer_name(name: str) -> str:
    """Make a consumer's fail points known and return its name; a module calls this for its constant."""
    if not name.replace("_", "").isalnum():
        raise ValueError(f"A consumer's name has letters, digits and underscores; {name!r} has others.")
    for point in _POINTS:
        failpoints.register(f"consumer.{name}.{point}")
    return name


@dataclass(frozen=True, slots=True)
class ConsumerLimits:
    """How a consumer retries and how much it takes at once."""

    ack_wait_s: int = ACK_WAIT_S
    handler_timeout_s: int = HANDLER_TIMEOUT_S
    max_ack_pending: int = ACK_PENDING_MAX
    fetch_messages: int = FETCH_MESSAGES
    max_deliveries: int = DELIVERIES_MAX


def _never() -> bool:
    return False


class DurableConsumer:
    """Handle the events of a stream, each once, until it is stopped. Several processes may share one name."""

    def __init__(
        self,
        database: Database,
        nats: Client,
        *,
        stream: str,
        name: str,
        subjects: Sequence[str],
        handler: Handler,
        limits: ConsumerLimits | None = None,
        paused: Callable[[], bool] = _never,
    ) -> None:
        """Consume `subjects` of `stream` as the durable consumer `name`, such as "ledger_orgs".

        `handler(tx, envelope)` works in the transaction of the inbox row and has no effect outside it. While
        `paused()` is true nothing is fetched; the messages wait in the stream.
        """
        self.name = consumer_name(name)
        self._database = database
        self._js: JetStreamContext = nats.jetstream()
        self._stream = stream
        self._subjects = list(subjects)
        self._handler = handler
        self._limits = limits or ConsumerLimits()
        self._paused = paused
        self._seldom = Seldom()
        # Failures of the data by stream sequence, in this process. The stream's own count also has the failures of
        # the surroundings, which must not bring a message nearer to its end.
        self._failed: dict[int, int] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set; waits out lost servers. Raises only what the code itself did wrong."""
        failures = 0
        backoff = Backoff(RETRY_FIRST_S, RETRY_MAX_S, sleep=until_stopped(stop))
        while not stop.is_set():
            subscription: JetStreamContext.PullSubscription | None = None
            try:
                subscription = await self._subscribe()
                failures = 0
                await self._consume(subscription, stop)
            except Exception as error:
                if classify(error) != "infrastructure":
                    raise
                failures += 1
                unsaid = self._seldom.may_say(type(error).__name__)
                if unsaid is not None:
                    fault = f"{type(error).__name__}: {error}"
                    _log.warning("Consumer %s waits (unsaid: %d): %s", self.name, unsaid, fault)
                await backoff.wait(failures)
            finally:
                if subscription is not None:
                    await _unsubscribe(subscription)

    async def _subscribe(self) -> JetStreamContext.PullSubscription:
        """Make the durable consumer or bring it up to date, and bind to it."""
        await self._js.add_consumer(
            self._stream,
            ConsumerConfig(
                name=self.name,
                durable_name=self.name,
                deliver_policy=DeliverPolicy.ALL,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=self._limits.ack_wait_s,
                # The stream never gives up by itself: it would step over the message in silence.
                max_deliver=UNBOUNDED,
                max_ack_pending=self._limits.max_ack_pending,
                # A single one is part of the request's subject, by which the server knows what may be asked for.
                filter_subject=self._subjects[0] if len(self._subjects) == 1 else None,
                filter_subjects=self._subjects if len(self._subjects) > 1 else None,
            ),
        )
        return await self._js.pull_subscribe_bind(consumer=self.name, stream=self._stream)

    async def _consume(self, subscription: JetStreamContext.PullSubscription, stop: asyncio.Event) -> None:
        while not stop.is_set():
            if self._paused():
                await until_stopped(stop)(PAUSED_POLL_S)
                continue
            try:
                async with asyncio.timeout(FETCH_TIMEOUT_S + FETCH_GRACE_S):
                    messages = await subscription.fetch(self._limits.fetch_messages, timeout=FETCH_TIMEOUT_S)
            except TimeoutError:
                metrics.PENDING.labels(self.name).set(0)
                continue
            for message in messages:
                await self._take(message)

    async def _take(self, message: Msg) -> None:
        """Handle one message to its end: acknowledged, put back, or dead."""
        meta = message.metadata
        metrics.PENDING.labels(self.name).set(meta.num_pending)
        if meta.num_delivered > 1:
            metrics.REDELIVERED.labels(self.name).inc()
        seq = meta.sequence.stream
        try:
            async with asyncio.timeout(self._limits.handler_timeout_s):
                await self._handle(message)
        except Exception as error:
            await self._failure(message, seq, error)
            return
        self._failed.pop(seq, None)
        failpoints.hit(f"consumer.{self.name}.before_ack", seq=seq)
        await message.ack()

    async def _handle(self, message: Msg) -> None:
        """Have the effect and remember it, in one transaction; neither when it was had before."""
        envelope = open_envelope(message.data)
        parent = _PROPAGATOR.extract({"traceparent": envelope.traceparent})
        with _TRACER.start_as_current_span(
            f"process {message.subject}",
            context=parent,
            kind=trace.SpanKind.CONSUMER,
            attributes={
                **PROCESSING,
                MESSAGING_DESTINATION_NAME: message.subject,
                MESSAGING_CONSUMER_GROUP_NAME: self.name,
                MESSAGING_MESSAGE_ID: envelope.id,
            },
        ):
            fresh = await self._database.run(lambda tx: self._effect(tx, envelope))
        failpoints.hit(f"consumer.{self.name}.after_commit", event_id=envelope.id)
        (metrics.HANDLED if fresh else metrics.DEDUPLICATED).labels(self.name).inc()

    async def _effect(self, tx: Transaction, envelope: EventEnvelope) -> bool:
        """Claim the event and handle it; False when it was handled before."""
        claim = (
            insert(_INBOX)
            .values(consumer=self.name, event_id=UUID(envelope.id))
            .on_conflict_do_nothing()
            .returning(_INBOX.c.event_id)
        )
        if (await tx.execute(claim)).first() is None:
            return False
        await self._handler(tx, envelope)
        failpoints.hit(f"consumer.{self.name}.after_execute", event_id=envelope.id)
        return True

    async def _failure(self, message: Msg, seq: int, error: Exception) -> None:
        """Put the message back with a wait, or make it a dead letter."""
        fault = classify(error)
        deliveries = message.metadata.num_delivered
        _log.warning(
            "Consumer %s failed on message %d (delivery %d, %s): %s: %s",
            self.name,
            seq,
            deliveries,
            fault,
            type(error).__name__,
            redact_text(str(error)),
        )
        if fault == "data":
            self._failed[seq] = self._failed.get(seq, 0) + 1
            malformed = isinstance(error, InvalidArgument) and error.reason == "ENVELOPE_MALFORMED"
            if malformed or self._failed[seq] >= self._limits.max_deliveries:
                await self._bury(message, seq, error)
                return
        metrics.RETRIED.labels(self.name, fault).inc()
        await message.nak(delay=_REDELIVERY.delay_s(deliveries))

    async def _bury(self, message: Msg, seq: int, error: Exception) -> None:
        """Publish the message as a dead letter; only when that is acknowledged is it ended."""
        reason = error.reason if isinstance(error, ApportionError) else "PROCESSING_FAILED"
        text = " ".join(redact_text(str(error)).split())[:FAILURE_TEXT_MAX]
        own = {
            "Apportion-Stream": self._stream,
            "Apportion-Sequence": str(seq),
            "Apportion-Subject": message.subject,
            "Apportion-Consumer": self.name,
            "Apportion-Deliveries": str(message.metadata.num_delivered),
            "Apportion-Failure-Reason": reason,
            "Apportion-Failure-Class": type(error).__name__,
            "Apportion-Failure-Message": text.encode("ascii", "replace").decode(),
        }
        kept = {key: value for key, value in (message.headers or {}).items() if not key.startswith("Nats-")}
        letter = Outgoing(
            f"{DEAD_SUBJECT}.{self._stream}.{self.name}",
            message.data,
            # With the consumer's name: two consumers may give up the same message.
            f"{self._stream}:{seq}:{self.name}",
            {**kept, **own},
        )
        try:
            await publish_one(self._js, letter)
        except nats.errors.Error as refused:
            if not is_too_large(refused):
                raise
            # The dead letter is larger than what died: it says where that lies, and what it was not able to carry.
            left_out = {"Apportion-Left-Out-Bytes": str(wire_bytes(message.data, kept))}
            await publish_one(self._js, replace(letter, payload=b"", headers={**own, **left_out}))
        await message.term()
        self._failed.pop(seq, None)
        metrics.DEAD_LETTERED.labels(self.name).inc()


async def _unsubscribe(subscription: JetStreamContext.PullSubscription) -> None:
    """Release the subscription; a closed connection has done so already."""
    try:
        await subscription.unsubscribe()
    except (nats.errors.Error, ValueError):
        _log.debug("The subscription was gone already.")
