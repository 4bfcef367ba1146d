"""Publish a lane's committed batches in the order of their numbers, each once; a large one in several parts.

The stream itself says what it holds: the last message of the lane's subject carries the number of the
last batch, and which part of it that was. Every publish names the sequence that it expects there, so a
second publisher, such as an owner that was paused and woke up, is rejected by the server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import PubAck
from nats.js.client import JetStreamContext

from apportion_common import failpoints
from apportion_common.backoff import Backoff
from apportion_common.bus.publish import MESSAGE_ID, check_size, is_too_large, wire_bytes
from apportion_common.bus.streams import is_missing_stream
from apportion_common.lanes import limits, metrics
from apportion_common.lanes.errors import LaneStopped, StreamMissing
from apportion_common.lanes.model import LaneOutput
from apportion_common.logs import get_logger
from apportion_common.standstill import CERTAIN, state_of

BATCH_SEQ_HEADER = "Apportion-Batch-Seq"
BATCH_PART_HEADER = "Apportion-Batch-Part"
"""The part and their number, such as "0/3"; "0/1" where it is absent, as in messages of older versions."""
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
        unpublished: Callable[[int, int], Awaitable[list[LaneOutput]]],
    ) -> None:
        """Publish to `subject` of `stream`; `unpublished(batch_seq, part)` returns what was committed from there on."""
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
        self._stands_since: float | None = None
        self.trouble: tuple[str, str] | None = None
        """The state in which it cannot publish, and what is known of it; None when it can."""
        self._subject_seq: int | None = None
        self._marked_batch_seq = out_batch_seq
        # The first part that is not known to be on the stream.
        self._next = (out_batch_seq + 1, 0)

    @property
    def published_batch_seq(self) -> int:
        """The last batch that is known to be on the stream with all of its parts."""
        return self._next[0] - 1

    @property
    def backlog(self) -> int:
        """Committed batches that are not known to be on the stream."""
        return _batches(self._queue)

    @property
    def has_news(self) -> bool:
        """Whether batches were published that the lane's row does not know of."""
        return self.published_batch_seq > self._marked_batch_seq

    def stands_since(self) -> float | None:
        """Return since when, by the loop's time, nothing was published of what there is; None when it gets on."""
        return self._stands_since

    def mark(self) -> int:
        """Return the last published batch, to be written into the lane's row in the caller's transaction."""
        if self.has_news:
            failpoints.hit(f"{self._role}.before_ack", lane=self._lane, batch_seq=self.published_batch_seq)
        self._marked_batch_seq = self.published_batch_seq
        return self.published_batch_seq

    def offer(self, outputs: list[LaneOutput]) -> None:
        """Take batches that were just committed, in order."""
        self._queue.extend(outputs)
        if self._stands_since is None and self._queue:
            self._stands_since = asyncio.get_running_loop().time()
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

        Raises StreamMissing, and LaneStopped OUTPUT_REWOUND when the stream holds less than was published before.
        """
        self._queue.clear()
        after = await self._look()
        last_batch_seq = after[0] - 1
        if last_batch_seq < self._marked_batch_seq:
            raise LaneStopped(
                "OUTPUT_REWOUND",
                f"{self._subject} ends at batch {last_batch_seq}, but {self._marked_batch_seq} was published",
            )
        if found := last_batch_seq - self._marked_batch_seq:
            metrics.FOUND.labels(self._role).inc(found)
            log.info("lane.publish.found", role=self._role, lane=self._lane, batches=found, batch_seq=last_batch_seq)
        while True:
            more = await self._unpublished(*after)
            self._queue.extend(more)
            if len(more) < limits.PUBLISH_BACKLOG:
                break
            after = (more[-1].batch_seq, more[-1].part + 1)
        if self._queue:
            metrics.RECOVERED.labels(self._role).inc(self.backlog)
            log.info(
                "lane.publish.recovered",
                role=self._role,
                lane=self._lane,
                batches=self.backlog,
                after_batch_seq=last_batch_seq,
            )
            self._offered.set()
            self._empty.clear()

    async def run(self) -> None:
        """Publish forever, in order; infrastructure failures are retried without end.

        Raises StreamMissing, and LaneStopped OUTPUT_TOO_LARGE for what the server does not take, however often it is
        sent.
        """
        failures = 0
        backoff = Backoff(limits.RETRY_FIRST_S, limits.RETRY_LAST_S)
        try:
            while True:
                if not self._queue:
                    self._stands_since = None
                    self._offered.clear()
                    self._room.set()
                    self._empty.set()
                    await self._offered.wait()
                    continue
                try:
                    await self._publish(self._queue[0])
                    failures = 0
                    self.trouble = None
                except (TimeoutError, nats.errors.Error, OSError) as error:
                    # Unknown whether it arrived: query the stream before anything is sent again.
                    state, detail = state_of(error, stream=self._stream)
                    if failures or state in CERTAIN:
                        self.trouble = (state, detail)
                    else:
                        log.warning("lane.publish.retry", role=self._role, lane=self._lane, error=type(error).__name__)
                    self._subject_seq = None
                    failures += 1
                    await backoff.wait(failures)
        finally:
            # Who waits for this to get on learns that it has ended.
            self._room.set()
            self._empty.set()

    async def _publish(self, output: LaneOutput) -> None:
        if self._subject_seq is None:
            await self._look()
        if (output.batch_seq, output.part) >= self._next:
            ack = await self._send(output)
            if ack is None:
                self._subject_seq = None
                return
            if ack.duplicate:
                # Said to be there. If it was purged since, the stream takes it once its memory of ids has run out.
                self._subject_seq = None
                await asyncio.sleep(limits.RETRY_FIRST_S)
                return
            self._subject_seq = ack.seq
            self._next = _after(output.batch_seq, output.part, output.part_count)
            if output.part + 1 < output.part_count:
                place = f"{self._role}.after_part"
                failpoints.hit(place, lane=self._lane, batch_seq=output.batch_seq, part=output.part)
            else:
                failpoints.hit(f"{self._role}.after_publish", lane=self._lane, batch_seq=output.batch_seq)
        self._queue.popleft()
        self._stands_since = asyncio.get_running_loop().time()
        if len(self._queue) < limits.PUBLISH_BACKLOG:
            self._room.set()

    async def _send(self, output: LaneOutput) -> PubAck | None:
        """Send a message; None when the stream holds another last message than this publisher expects."""
        headers = {
            MESSAGE_ID: f"{self._role}:{self._lane}:{output.batch_seq}:{output.part}",
            "Nats-Expected-Last-Subject-Sequence": str(self._subject_seq),
            BATCH_SEQ_HEADER: str(output.batch_seq),
            BATCH_PART_HEADER: f"{output.part}/{output.part_count}",
        }
        try:
            check_size(self._client, output.payload, headers)
            return await self._js.publish(self._subject, output.payload, stream=self._stream, headers=headers)
        except nats.errors.Error as error:
            if is_too_large(error):
                size = wire_bytes(output.payload, headers)
                raise LaneStopped(
                    "OUTPUT_TOO_LARGE",
                    f"part {output.part} of batch {output.batch_seq} has {size} bytes with its headers,"
                    f" more than {self._stream} or its server takes",
                ) from error
            if not isinstance(error, nats.js.errors.APIError) or error.err_code != WRONG_LAST_SEQUENCE:
                raise
        metrics.REJECTED.labels(self._role).inc()
        log.info("lane.publish.refused", role=self._role, lane=self._lane, batch_seq=output.batch_seq, part=output.part)
        return None

    async def _look(self) -> tuple[int, int]:
        """Query the stream for the lane's last message; keep its sequence and return what comes after it.

        That is a batch number and a part of it.
        """
        try:
            last = await self._js.get_last_msg(self._stream, self._subject)
        except nats.js.errors.NotFoundError as error:
            if is_missing_stream(error):
                raise StreamMissing(self._stream) from error
            self._subject_seq = 0
            return 1, 0
        self._subject_seq = last.seq
        headers = last.headers or {}
        part, _, part_count = headers.get(BATCH_PART_HEADER, "0/1").partition("/")
        after = _after(int(headers.get(BATCH_SEQ_HEADER, "0")), int(part), int(part_count))
        self._next = max(self._next, after)
        return after


def _after(batch_seq: int, part: int, part_count: int) -> tuple[int, int]:
    """Return the batch and part that come after this part of so many."""
    return (batch_seq, part + 1) if part + 1 < part_count else (batch_seq + 1, 0)


def _batches(outputs: Iterable[LaneOutput]) -> int:
    """Return how many batches end in these messages."""
    return sum(output.part + 1 == output.part_count for output in outputs)
