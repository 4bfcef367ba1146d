"""Read a lane's subject in order from a sequence, without acknowledgements.

A pull consumer with ack policy "none" that lives in the server's memory: the lane's position is in
PostgreSQL, so the server need remember nothing. Whatever is odd (a gap in the consumer's numbers, a
lost connection, silence) has one cure: a new consumer from the last message that arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar
from uuid import uuid4

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from apportion_common.bus.connection import api_subject
from apportion_common.bus.streams import is_missing_stream
from apportion_common.lanes import limits
from apportion_common.lanes.errors import StreamMissing
from apportion_common.lanes.model import LaneMessage

T = TypeVar("T")

NANOSECONDS = 1_000_000_000


class LaneReader(Generic[T]):
    """Messages of one subject from `after` on, decoded, in a bounded buffer."""

    def __init__(
        self,
        client: Client,
        *,
        stream: str,
        subject: str,
        after: int,
        decode: Callable[[bytes], tuple[T, int]],
        on_reopen: Callable[[], Awaitable[None]],
    ) -> None:
        """Read what comes after a sequence. `on_reopen` is called each time the consumer was opened again: the stream
        may have gone meanwhile and be another one under its name, so it looks at that again.
        """
        self.buffer: deque[LaneMessage[T]] = deque()
        self._client = client
        self._stream = stream
        self._subject = subject
        self._last_seq = after
        self._decode = decode
        self._on_reopen = on_reopen
        self._consumer = ""
        self._consumer_seq = 0
        self._wanted = 0
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._arrived = asyncio.Event()
        self._woken = False
        self._buffered_bytes = 0
        self._incomplete = False
        self._broken = False
        self._heard_at = 0.0

    async def wait(self, *, more_than: int = 0) -> bool:
        """Wait until more than so many messages are buffered, or `wake` is called; return whether they are.

        Keeps reading meanwhile. `more_than` is what the caller has seen and found to be no complete batch. Raises the
        client's errors when the server cannot be reached: the caller's back-off applies.
        """
        self._incomplete = more_than > 0
        while len(self.buffer) <= more_than:
            await self.keep_reading()
            self._arrived.clear()
            if len(self.buffer) > more_than:
                break
            if self._woken:
                self._woken = False
                return False
            # What is silent is opened again at the next turn; everything else sets the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._heard_at + limits.READ_SILENCE_S):
                    await self._arrived.wait()
        return True

    async def keep_reading(self) -> None:
        """Open or mend the consumer, and request more when there is room."""
        silent = self._wanted > 0 and self._now() - self._heard_at >= limits.READ_SILENCE_S
        if self._subscription is None or self._broken or silent:
            reopened = self._subscription is not None
            await self._open()
            if reopened:
                await self._on_reopen()
        if self._wanted <= 0 and self._has_room():
            await self._ask()

    def drop(self, messages: int) -> None:
        """Take the first messages out of the buffer."""
        for _ in range(messages):
            self._buffered_bytes -= len(self.buffer.popleft().data)

    def wake(self) -> None:
        """Let `wait` return, also without a message."""
        self._woken = True
        self._arrived.set()

    def reopen(self) -> None:
        """Let the next turn open the consumer again: the server may have forgotten it, or the open request."""
        self._break()

    async def close(self) -> None:
        """End the consumer. Errors are nothing: the server forgets it by itself."""
        subscription, self._subscription = self._subscription, None
        consumer, self._consumer = self._consumer, ""
        if subscription is not None:
            with contextlib.suppress(Exception):
                await subscription.unsubscribe()
        if consumer and self._client.is_connected:
            with contextlib.suppress(Exception):
                await self._client.jetstream().delete_consumer(self._stream, consumer)

    async def _open(self) -> None:
        await self.close()
        self._broken = False
        self._wanted = 0
        self._consumer_seq = 0
        name = f"lane-{uuid4().hex}"
        await self._make_consumer(name)
        self._consumer = name
        inbox = self._client.new_inbox()
        self._subscription = await self._client.subscribe(inbox, cb=self._on_message)
        self._inbox = inbox
        self._heard_at = self._now()

    async def _make_consumer(self, name: str) -> None:
        """Make the consumer. Raises StreamMissing."""
        making = self._client.jetstream().add_consumer(
            self._stream,
            ConsumerConfig(
                name=name,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=self._last_seq + 1,
                ack_policy=AckPolicy.NONE,
                filter_subject=self._subject,
                inactive_threshold=limits.READER_INACTIVE_S,
                mem_storage=True,
                num_replicas=1,
            ),
        )
        try:
            await making
        except nats.js.errors.NotFoundError as error:
            if is_missing_stream(error):
                raise StreamMissing(self._stream) from error
            raise

    async def _ask(self) -> None:
        self._wanted = limits.READ_MESSAGES
        self._heard_at = self._now()
        request = {
            "batch": limits.READ_MESSAGES,
            "max_bytes": limits.READ_BYTES,
            "expires": int(limits.READ_EXPIRES_S * NANOSECONDS),
            "idle_heartbeat": int(limits.READ_HEARTBEAT_S * NANOSECONDS),
        }
        await self._client.publish(
            api_subject(self._client, f"CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"),
            json.dumps(request).encode(),
            reply=self._inbox,
        )

    async def _on_message(self, message: Msg) -> None:
        if message.subject == self._inbox:
            self._on_status(message)
            return
        metadata = message.metadata
        if metadata.consumer != self._consumer:
            return
        self._heard_at = self._now()
        sequence = metadata.sequence
        if sequence.consumer != self._consumer_seq + 1:
            self._break()
            return
        self._consumer_seq = sequence.consumer
        self._wanted -= 1
        value, weight = self._decode(message.data)
        self._buffered_bytes += len(message.data)
        self.buffer.append(LaneMessage(sequence.stream, message.data, value, weight))
        self._last_seq = sequence.stream
        self._arrived.set()
        if self._wanted <= 0 and self._has_room():
            with contextlib.suppress(nats.errors.Error):
                await self._ask()

    def _on_status(self, message: Msg) -> None:
        """Take the server's word on the open request: alive, spent, or not to be answered any more."""
        self._heard_at = self._now()
        status = (message.header or {}).get("Status", "") if message.header else ""
        description = (message.header or {}).get("Description", "").lower() if message.header else ""
        if status == "100":
            return
        if status in ("404", "408") or (status == "409" and ("batch completed" in description or "max" in description)):
            self._wanted = 0
        else:
            self._break()
        self._arrived.set()

    def _has_room(self) -> bool:
        """Return whether more may be requested; the rest of a batch that is not complete always may."""
        held = len(self.buffer)
        return held < limits.BUFFERED_MESSAGES and (self._incomplete or self._buffered_bytes < limits.BUFFERED_BYTES)

    def _break(self) -> None:
        self._broken = True
        self._arrived.set()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
