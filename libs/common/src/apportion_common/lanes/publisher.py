"""Publish a lane's committed batches in the order of their numbers, each once.

The stream itself says what it holds: the last message of the lane's subject carries the number of the
last batch. Every publish names the sequence that it expects there, so a second publisher, such as an
owner that was paused and woke up, is refused by the server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.client import JetStreamContext

from apportion_common import failpoints
from apportion_common.backoff import Backoff
from apportion_common.lanes import limits, metrics
from apportion_common.lanes.errors import LaneStopped
from apportion_common.lanes.model import LaneOutput
from apportion_common.logs import get_logger

BATCH_SEQ_HEADER = "Apportion-Batch-Seq"
WRONG_LAST_SEQUENCE = 10071

log = get_logger(__name__)


class LanePublisher:
    """One lane's way out. `offer` takes batches as they are committed; `run` publishes them."""

    def __init__(
        self,
        client: Client,
        *,
        role: str,
        lane: int,
        stream: str,
        subject: str,
        out_batch_seq: int,
        unpublished: Callable[[int], Awaitable[list[LaneOutput]]],
    ) -> None:
        self.published_batch_seq = out_batch_seq
        self._client = client
        self._js: JetStreamContext = client.jetstream(timeout=limits.PUBLISH_TIMEOUT_S)
        self._role = role
        self._lane = lane
        self._stream = stream
        self._subject = subject
        self._unpublished = unpublished
        self._queue: deque[LaneOutput] = deque()
        self._offered = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._subject_seq: int | None = None
        self._marked_batch_seq = out_batch_seq

    @property
    def backlog(self) -> int:
        """Committed batches that are not known to be on the stream."""
        return len(self._queue)

    @property
    def has_news(self) -> bool:
        """Whether batches were published that the lane's row does not know of."""
        return self.published_batch_seq > self._marked_batch_seq

    def mark(self) -> int:
        """Give the last published batch, to be written into the lane's row in the caller's transaction."""
        if self.has_news:
            failpoints.hit(f"{self._role}.before_ack", lane=self._lane, batch_seq=self.published_batch_seq)
        self._marked_batch_seq = self.published_batch_seq
        return self.published_batch_seq

    def offer(self, outputs: list[LaneOutput]) -> None:
        """Take batches that were just committed, in order."""
        self._queue.extend(outputs)
        self._offered.set()
        self._empty.clear()
        if len(self._queue) >= limits.PUBLISH_BACKLOG:
            self._room.clear()

    async def room(self) -> None:
        """Wait until the backlog is below its bound."""
        await self._room.wait()

    async def emptied(self) -> None:
        """Wait until everything that was offered is on the stream."""
        await self._empty.wait()

    async def recover(self) -> None:
        """Find what the stream holds, and queue what was committed and is not there.

        Raises LaneStopped OUTPUT_REWOUND when the stream holds less than was published before.
        """
        self._queue.clear()
        last_batch_seq = await self._look()
        if last_batch_seq < self._marked_batch_seq:
            raise LaneStopped(
                "OUTPUT_REWOUND",
                f"{self._subject} ends at batch {last_batch_seq}, but {self._marked_batch_seq} was published",
            )
        self.published_batch_seq = max(self.published_batch_seq, last_batch_seq)
        if found := last_batch_seq - self._marked_batch_seq:
            metrics.FOUND.labels(self._role).inc(found)
            log.info("lane.publish.found", role=self._role, lane=self._lane, batches=found, batch_seq=last_batch_seq)
        while True:
            after = self._queue[-1].batch_seq if self._queue else last_batch_seq
            more = await self._unpublished(after)
            self._queue.extend(more)
            if len(more) < limits.PUBLISH_BACKLOG:
                break
        if self._queue:
            metrics.RECOVERED.labels(self._role).inc(len(self._queue))
            log.info(
                "lane.publish.recovered",
                role=self._role,
                lane=self._lane,
                batches=len(self._queue),
                after_batch_seq=last_batch_seq,
            )
            self._offered.set()
            self._empty.clear()

    async def run(self) -> None:
        """Publish forever, in order; infrastructure failures are retried without end."""
        failures = 0
        backoff = Backoff(limits.RETRY_FIRST_S, limits.RETRY_LAST_S)
        while True:
            if not self._queue:
                self._offered.clear()
                self._room.set()
                self._empty.set()
                await self._offered.wait()
                continue
            try:
                await self._publish(self._queue[0])
                failures = 0
            except (TimeoutError, nats.errors.Error, OSError) as error:
                # Unknown whether it arrived: ask the stream before anything is sent again.
                log.warning("lane.publish.retry", role=self._role, lane=self._lane, error=type(error).__name__)
                self._subject_seq = None
                failures += 1
                await backoff.wait(failures)

    async def _publish(self, output: LaneOutput) -> None:
        if self._subject_seq is None:
            await self._look()
        if output.batch_seq > self.published_batch_seq:
            headers = {
                "Nats-Msg-Id": f"{self._role}:{self._lane}:{output.batch_seq}",
                "Nats-Expected-Last-Subject-Sequence": str(self._subject_seq),
                BATCH_SEQ_HEADER: str(output.batch_seq),
            }
            try:
                ack = await self._js.publish(self._subject, output.payload, stream=self._stream, headers=headers)
            except nats.js.errors.APIError as error:
                if error.err_code != WRONG_LAST_SEQUENCE:
                    raise
                metrics.REFUSED.labels(self._role).inc()
                log.info("lane.publish.refused", role=self._role, lane=self._lane, batch_seq=output.batch_seq)
                self._subject_seq = None
                return
            if ack.duplicate:
                # Said to stand already. If it was purged since, the stream takes it once its memory of ids has run out.
                self._subject_seq = None
                await asyncio.sleep(limits.RETRY_FIRST_S)
                return
            self._subject_seq = ack.seq
            self.published_batch_seq = output.batch_seq
            failpoints.hit(f"{self._role}.after_publish", lane=self._lane, batch_seq=output.batch_seq)
        self._queue.popleft()
        if len(self._queue) < limits.PUBLISH_BACKLOG:
            self._room.set()

    async def _look(self) -> int:
        """Ask the stream for the lane's last message; remember its sequence and give its batch number."""
        try:
            last = await self._js.get_last_msg(self._stream, self._subject)
        except nats.js.errors.NotFoundError:
            self._subject_seq = 0
            return 0
        self._subject_seq = last.seq
        batch_seq = int((last.headers or {}).get(BATCH_SEQ_HEADER, "0"))
        self.published_batch_seq = max(self.published_batch_seq, batch_seq)
        return batch_seq
