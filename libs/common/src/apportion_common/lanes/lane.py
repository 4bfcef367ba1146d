"""One owned lane: read, fence, process, commit, publish."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from nats.aio.client import Client
from nats.js.api import StreamInfo
from nats.js.errors import NotFoundError

from apportion_common import failpoints
from apportion_common.backoff import Backoff
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.faults import classify
from apportion_common.lanes import limits, metrics
from apportion_common.lanes.errors import Fenced, LaneStopped, StreamMissing
from apportion_common.lanes.model import (
    LaneMessage,
    LaneOutcome,
    LaneOutput,
    LanePosition,
    LaneProcessor,
    StreamInput,
    StreamOutput,
)
from apportion_common.lanes.parts import check_outputs, part_fault
from apportion_common.lanes.publisher import LanePublisher
from apportion_common.lanes.reader import LaneReader
from apportion_common.lanes.store import Acquired, HeldLane, LaneMove, LaneStore
from apportion_common.lanes.turns import Turns, serve
from apportion_common.logs import get_logger
from apportion_common.tasks import cancel_and_wait

T = TypeVar("T")

log = get_logger(__name__)

Work = tuple["OwnedLane[T]", Sequence[LaneMessage[T]]]
"""A lane, and the complete batches of its buffer that come next."""


class OwnedLane(Generic[T]):
    """A lane while this process owns it.

    `run` ends by raising: Fenced, StreamMissing, LaneStopped or an infrastructure error.
    """

    def __init__(
        self,
        held: Acquired,
        *,
        role: str,
        database: Database,
        client: Client,
        store: LaneStore,
        source: StreamInput,
        output: StreamOutput | None,
        processor: LaneProcessor[T],
        turns: Turns[OwnedLane[T]],
        paused: Callable[[], bool],
    ) -> None:
        self.held = held
        self._role = role
        self._database = database
        self._client = client
        self._store = store
        self._source = source
        self._processor = processor
        self._turns = turns
        self._alone = False
        """Whether the next transaction is this lane's own: one with others has failed."""
        self._paused = paused
        self._position = LanePosition(held.lane, held.batch_seq, held.next_entry_seq)
        self._cursor = held.stream_seq
        self._data_failures = 0
        self._backoff = Backoff(limits.RETRY_FIRST_S, limits.RETRY_LAST_S)
        self._messages_limit = limits.BUFFERED_MESSAGES
        self._looked_at = 0
        self._stopping = False
        self._moved_at: float | None = None
        self.is_working = False
        """Whether it has come so far as to read its stream."""
        self.has_committed = False
        """Whether it has committed anything."""
        self._out_subject = f"{output.subject}.{held.lane}" if output else ""
        self._reader = LaneReader(
            client,
            stream=source.stream,
            subject=f"{source.subject}.{held.lane}",
            after=held.stream_seq,
            decode=processor.decode,
            on_reopen=self._look_again,
        )
        self.publisher = (
            LanePublisher(
                client,
                role=role,
                lane=held.lane,
                stream=output.stream,
                subject=self._out_subject,
                out_batch_seq=held.out_batch_seq,
                unpublished=self._unpublished,
            )
            if output
            else None
        )

    async def run(self) -> None:
        """Work the lane until it is lost, stopped, paused or told to end."""
        publishing: asyncio.Task[None] | None = None
        try:
            self._moved()
            await self._check_stream()
            if self.publisher:
                await self.publisher.recover()
                publishing = asyncio.create_task(self.publisher.run(), name=f"{self._out_subject}-publisher")
                publishing.add_done_callback(lambda _: self._reader.wake())
            while not self._stopping and not self._paused():
                if self.publisher:
                    await self.publisher.room()
                await self._reader.keep_reading()
                self.is_working = True
                # Waiting for messages is no standstill; the reader itself sees to it that its silence ends.
                self._moved_at = None
                # Looked at again: what came while this waited is left on the stream for when the pause is over.
                arrived = await self._reader.wait(more_than=self._looked_at)
                self._moved()
                if publishing and publishing.done():
                    publishing.result()
                if arrived and not self._paused():
                    await self._reader.keep_reading()
                    await self._step()
            if publishing and self.publisher:
                # A lane that ends in order leaves nothing for its next owner to find.
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self.publisher.emptied(), limits.PUBLISH_TIMEOUT_S)
                if publishing.done():
                    publishing.result()
        finally:
            if publishing:
                await cancel_and_wait(publishing)
            await self._processor.forget(self.held.lane)
            await self._reader.close()

    def _moved(self) -> None:
        """Note that the lane's work got on."""
        self._moved_at = asyncio.get_running_loop().time()

    def stuck_s(self) -> float:
        """Return for how long what is under way has made no progress, be it a batch or its publication."""
        published_at = self.publisher.stands_since() if self.publisher else None
        since = min((at for at in (self._moved_at, published_at) if at is not None), default=None)
        return 0 if since is None else asyncio.get_running_loop().time() - since

    def end(self) -> None:
        """Tell the lane to end after the batch under way."""
        self._stopping = True
        self._reader.wake()

    def reconnected(self) -> None:
        """Tell the lane that the connection to the stream was lost and is there again."""
        self._reader.reopen()

    async def _unpublished(self, batch_seq: int, part: int) -> list[LaneOutput]:
        async with self._database.read() as connection:
            return await self._store.unpublished(connection, self.held.lane, batch_seq, part)

    async def _look_again(self) -> None:
        """Look at the stream after the consumer was opened again. Raises as `_check_stream`."""
        metrics.REOPENED.labels(self._role).inc()
        await self._check_stream()

    async def _check_stream(self) -> None:
        """Raise StreamMissing, or LaneStopped for a stream that was made again or went back before the position."""
        info = await self._stream_info()
        created = info.created.isoformat() if info.created else ""
        stream_id = f"{self._source.stream}@{created}"
        if not self.held.stream_id:
            await self._store.adopt_stream(self.held, stream_id)
        elif self.held.stream_id != stream_id:
            raise LaneStopped("STREAM_REWOUND", f"the lane read {self.held.stream_id}, this is {stream_id}")
        if info.state.last_seq < self._cursor:
            raise LaneStopped(
                "STREAM_REWOUND", f"the stream ends at {info.state.last_seq}, the lane is at {self._cursor}"
            )

    async def _stream_info(self) -> StreamInfo:
        try:
            return await self._client.jetstream(timeout=limits.PUBLISH_TIMEOUT_S).stream_info(self._source.stream)
        except NotFoundError as error:
            raise StreamMissing(self._source.stream) from error

    async def _step(self) -> None:
        """Take what is buffered, up to a transaction's weight, and commit it, with that of lanes that wait as well."""
        if not await self._turns.take(self):
            return
        along: list[asyncio.Future[bool]] = []
        try:
            work = self._gather(along)
            if len(work) > 1:
                await self._commit_together(work)
            elif work:
                await self._commit_alone(work[0][1])
        finally:
            serve(along)
            self._turns.end()

    def _gather(self, along: list[asyncio.Future[bool]]) -> list[Work[T]]:
        """Return what this lane and those that it takes along have buffered; these wait until they are served."""
        own = self._collect()
        if not own:
            return []
        work: list[Work[T]] = [(self, own)]
        weight = sum(message.weight for message in own)
        for lane in self._turns.waiting():
            if self._alone or len(work) == limits.LANES_TOGETHER:
                break
            if lane._alone or lane._paused():
                continue
            try:
                theirs = lane._collect()
            except LaneStopped:
                # It finds that out again in its own turn.
                continue
            weight += sum(message.weight for message in theirs)
            if weight > limits.ENTRIES_TOGETHER:
                break
            if theirs:
                along.append(self._turns.take_along(lane))
                work.append((lane, theirs))
        self._alone = False
        return work

    async def _commit_together(self, work: Sequence[Work[T]]) -> None:
        """Commit the work of several lanes in one transaction; if that fails for any reason, none of it is done.

        Each of them then goes on alone, where what is wrong with one is its own matter.
        """
        try:
            await self._commit(work)
        except Exception as error:
            metrics.RETRIES.labels(self._role).inc()
            log.info("lane.together.failed", role=self._role, lanes=len(work), error=type(error).__name__)
            for lane, _ in work:
                lane._alone = True
                await self._processor.forget(lane.held.lane)

    async def _commit_alone(self, messages: Sequence[LaneMessage[T]]) -> None:
        try:
            await self._commit([(self, messages)])
        except Fenced:
            metrics.FENCED.labels(self._role).inc()
            raise
        except LaneStopped:
            raise
        except Exception as error:
            metrics.RETRIES.labels(self._role).inc()
            if classify(error) == "infrastructure":
                raise
            await self._retry_or_quarantine(messages, error)
        else:
            self._data_failures = 0
            self._messages_limit = limits.BUFFERED_MESSAGES

    def _collect(self) -> list[LaneMessage[T]]:
        """Return the complete batches in the buffer that one transaction takes, without those applied before.

        Without a complete one, notes that the reader has to bring more than it has now.
        """
        taken: list[LaneMessage[T]] = []
        parts: list[LaneMessage[T]] = []
        weight = 0
        expected = self._position.batch_seq + 1
        for message in tuple(self._reader.buffer):
            batch_seq = self._processor.batch_seq_of(message.value)
            part_count = 1
            if batch_seq is not None:
                if batch_seq < expected and not parts:
                    if taken:
                        break
                    # Nothing comes before it, so the cursor may pass it with the next batch.
                    self._reader.drop(1)
                    metrics.DROPPED.labels(self._role).inc()
                    continue
                part = self._processor.part_of(message.value)
                gathered = [self._processor.part_of(earlier.value) for earlier in parts]
                if fault := part_fault(expected, gathered, batch_seq, part):
                    if taken:
                        break
                    raise fault
                part_count = part[1]
            parts.append(message)
            if len(parts) < part_count:
                continue
            whole = self._joined(parts)
            if taken and (weight + whole.weight > self._processor.max_weight or len(taken) >= self._messages_limit):
                break
            taken.append(whole)
            weight += whole.weight
            parts = []
            expected += 1
        self._looked_at = 0 if taken else len(self._reader.buffer)
        return taken

    def _joined(self, parts: Sequence[LaneMessage[T]]) -> LaneMessage[T]:
        """Return the messages of a batch as one."""
        if len(parts) == 1:
            return parts[0]
        return LaneMessage(
            parts[-1].stream_seq,
            parts[-1].data,
            self._processor.join([part.value for part in parts]),
            sum(part.weight for part in parts),
            len(parts),
        )

    async def _commit(self, work: Sequence[Work[T]]) -> None:
        """Process and commit what lanes have collected, in one transaction."""
        work = sorted(work, key=lambda of: of[0].held.lane)
        for lane, messages in work:
            lane._hit("before_execute", messages)
        async with self._database.transaction() as tx:
            await self._store.fence(tx, [lane._held for lane, _ in work])
            outcomes = await self._processor.process(tx, [(lane._position, messages) for lane, messages in work])
            await self._advance(tx, work, outcomes)
        for (lane, messages), outcome in zip(work, outcomes, strict=True):
            await lane._committed(messages, outcome)

    async def _advance(self, tx: Transaction, work: Sequence[Work[T]], outcomes: Sequence[LaneOutcome]) -> None:
        moves = []
        for (lane, messages), outcome in zip(work, outcomes, strict=True):
            check_outputs(outcome.outputs)
            moves.append(
                LaneMove(
                    lane._held,
                    messages[-1].stream_seq,
                    outcome.batch_seq,
                    outcome.next_entry_seq,
                    lane.publisher.mark() if lane.publisher else 0,
                    outcome.outputs if lane.publisher else (),
                    lane._out_subject,
                )
            )
        await self._store.advance(tx, moves)
        for (lane, messages), outcome in zip(work, outcomes, strict=True):
            lane._hit("after_execute", messages, batch_seq=outcome.batch_seq)

    @property
    def _held(self) -> HeldLane:
        """What this owner remembers of the lane's row."""
        position = self._position
        return HeldLane(self.held.lane, self.held.epoch, self._cursor, position.batch_seq, position.next_entry_seq)

    def _hit(self, place: str, messages: Sequence[LaneMessage[T]], **more: object) -> None:
        """Pass one of the role's fail points."""
        failpoints.hit(
            f"{self._role}.{place}",
            lane=self.held.lane,
            cursor=self._cursor,
            stream_seqs=[message.stream_seq for message in messages],
            **more,
        )

    async def _committed(self, messages: Sequence[LaneMessage[T]], outcome: LaneOutcome) -> None:
        self._moved()
        self.has_committed = True
        self._cursor = messages[-1].stream_seq
        self._position = LanePosition(self.held.lane, outcome.batch_seq, outcome.next_entry_seq)
        failpoints.hit(
            f"{self._role}.after_commit", lane=self.held.lane, cursor=self._cursor, batch_seq=outcome.batch_seq
        )
        self._reader.drop(sum(message.messages for message in messages))
        metrics.BATCHES.labels(self._role).inc()
        metrics.ENTRIES.labels(self._role).inc(sum(message.weight for message in messages))
        if self.publisher:
            self.publisher.offer(list(outcome.outputs))
        if outcome.after_commit:
            # The batch is committed, whatever becomes of those who waited to hear of it.
            try:
                await outcome.after_commit()
            except Exception:
                log.exception("lane.after_commit.failed", role=self._role, lane=self.held.lane)

    async def _retry_or_quarantine(self, messages: Sequence[LaneMessage[T]], error: Exception) -> None:
        """Deal with a batch that fails of itself: retry with fewer messages, at last with one, then quarantine."""
        self._alone = True
        await self._processor.forget(self.held.lane)
        log.warning(
            "lane.batch.failed",
            role=self._role,
            lane=self.held.lane,
            messages=len(messages),
            error=f"{type(error).__name__}: {error}"[:500],
        )
        if len(messages) > 1:
            self._messages_limit = max(1, len(messages) // 2)
            return
        self._data_failures += 1
        if self._data_failures < limits.DATA_ATTEMPTS:
            await self._backoff.wait(self._data_failures)
            return
        message = messages[0]
        async with self._database.transaction() as tx:
            await self._store.fence(tx, [self._held])
            outcome = await self._processor.process_failed(tx, self._position, message, error)
            await self._advance(tx, [(self, messages)], [outcome])
        metrics.QUARANTINED.labels(self._role).inc()
        self._data_failures = 0
        await self._committed(messages, outcome)
