"""The writer: dedupes a lane's messages forever, numbers every accepted entry, and stores it (spec 04).

What may be wrong with an event by rule is an outcome beside the good ones, in the same transaction. Nothing here
looks at a clock: windows are measured from the message's own received_at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import cast

from apportion.common.v1.lane_pb2 import TraceRange
from apportion.metering.v1 import lane_pb2
from apportion_common.db.unit_of_work import Transaction
from apportion_common.faults import classify
from apportion_common.ids import EVENT_NAMESPACE, uuid5_bytes
from apportion_common.lanes.bisect import bisect
from apportion_common.lanes.model import LaneMessage, LaneOutcome, LaneOutput, LanePosition, LaneWork, WholeBatches
from apportion_common.lanes.traces import BatchTraces
from apportion_common.logs import get_logger
from apportion_common.topology import PROCESSING_FAILED, UNDECODABLE

from apportion_metering.app import metrics
from apportion_metering.consumers.dead_letters import event_dead_letter, raw_dead_letter
from apportion_metering.consumers.decision import BatchCursor, Decision, accepted_to_message, merge_decisions
from apportion_metering.consumers.entries import Run, decide_runs, read_runs
from apportion_metering.consumers.intake import Intake, Undecodable, decode_intake, entry_bytes
from apportion_metering.consumers.replies import NatsReplies
from apportion_metering.domain.dedupe import DEAD_LETTERED
from apportion_metering.domain.entries import TakenEvent
from apportion_metering.limits import MESSAGE_ENTRIES_MAX
from apportion_metering.store.dead_letters import DeadLetterStore
from apportion_metering.store.events import EventStore, KeyTaken, NewKey, NewRows
from apportion_metering.store.journal import JournalEntry, JournalStore

log = get_logger(__name__)


Message = LaneMessage[Intake | Undecodable]


class Writer(WholeBatches[Intake | Undecodable]):
    """The lane processor of METERING_IN; one accepted batch a transaction, also when it is empty."""

    max_weight = MESSAGE_ENTRIES_MAX

    def __init__(
        self,
        events: EventStore,
        dead_letters: DeadLetterStore,
        journal: JournalStore,
        replies: NatsReplies,
        *,
        packed: bool,
    ) -> None:
        """Write to these stores, and answer by `replies`; publish records where it is `packed`."""
        self._packed = packed
        self._events = events
        self._dead_letters = dead_letters
        self._journal = journal
        self._replies = replies

    def decode(self, data: bytes) -> tuple[Intake | Undecodable, int]:
        """Return the message and its number of entries; what cannot be read is a value of its own, and weighs one."""
        message = decode_intake(data)
        return message, 1 if isinstance(message, Undecodable) else len(message.items)

    def batch_seq_of(self, value: Intake | Undecodable) -> int | None:
        """Return None: the writer numbers the batches itself."""
        return None

    async def forget(self, lane: int) -> None:
        """Do nothing: what is known of an id is in the database alone."""

    async def process(self, tx: Transaction, work: Sequence[LaneWork[Intake | Undecodable]]) -> list[LaneOutcome]:
        """Store the new events of the lanes' messages, in one accepted batch a lane. Raises to undo all of it."""
        cursors = [BatchCursor.after(position) for position, _ in work]
        with ExitStack() as spans:
            traces = [
                spans.enter_context(_spans(cursor, messages))
                for cursor, (_, messages) in zip(cursors, work, strict=True)
            ]
            decisions: list[list[Decision]] = [[] for _ in work]
            pending: list[tuple[BatchCursor, list[Run]]] = []
            for cursor, (_, messages), decided in zip(cursors, work, decisions, strict=True):
                runs: list[Run] = []
                for message in messages:
                    if isinstance(message.value, Undecodable):
                        # Rare: what came before it is applied first, so that the order of outcomes stays.
                        if runs:
                            decided += await self._apply(tx, [(cursor, runs)])
                        runs = []
                        decided.append(await self._quarantine_message(tx, cursor, message, message.value.why))
                    else:
                        runs.append(Run(message.stream_seq, message.value, 0, message.weight))
                pending.append((cursor, runs))
            with_runs = [(cursor, runs) for cursor, runs in pending if runs]
            applied = iter(await self._apply(tx, with_runs) if with_runs else ())
            for decided, (_, runs) in zip(decisions, pending, strict=True):
                if runs:
                    decided.append(next(applied))
            return await self._finish(tx, work, [merge_decisions(decided) for decided in decisions], traces)

    async def process_failed(
        self, tx: Transaction, position: LanePosition, message: Message, error: Exception
    ) -> LaneOutcome:
        """Bisect the message: entries that fail alone become dead letters, the rest is stored."""
        cursor = BatchCursor.after(position)
        value = message.value
        with _spans(cursor, [message]) as traces:
            if isinstance(value, Undecodable):
                decision = await self._quarantine_message(tx, cursor, message, value.why)
            else:
                decision = await self._bisect(tx, cursor, message.stream_seq, value)
            (outcome,) = await self._finish(tx, [(position, [message])], [decision], [traces])
            return outcome

    async def _bisect(self, tx: Transaction, cursor: BatchCursor, stream_seq: int, message: Intake) -> Decision:
        """Store what can be stored of a message that fails."""

        async def attempt(entries: Sequence[int]) -> Decision:
            (decision,) = await self._apply(tx, [(cursor, [Run(stream_seq, message, entries[0], entries[-1] + 1)])])
            return decision

        async def quarantine(index: int, error: Exception) -> Decision:
            return await self._quarantine_entry(tx, cursor, stream_seq, message, index, error)

        entries = range(len(message.items))
        return await bisect(tx, entries, attempt=attempt, quarantine=quarantine, merge=merge_decisions)

    async def _apply(self, tx: Transaction, work: Sequence[tuple[BatchCursor, Sequence[Run]]]) -> list[Decision]:
        """Decide on runs of entries of lanes and write what comes of them; return one decision a lane."""
        readings = [read_runs(runs) for _, runs in work]
        names = [name for reading in readings for name in reading.names]
        requeues = {key: attempt for reading in readings for key, attempt in reading.requeues.items()}
        requeued = await self._dead_letters.claim(tx, requeues) if requeues else {}
        known = await self._events.known(tx, names) if names else {}

        def decide() -> list[Decision]:
            # An id is one organisation's, and an organisation is on one lane: lanes claim nothing from each other.
            return [
                decide_runs(cursor, reading, known, requeued)
                for (cursor, _), reading in zip(work, readings, strict=True)
            ]

        decisions = decide()
        if any(decision.events or decision.keys for decision in decisions):
            try:
                await self._events.add(tx, _new_rows(work, decisions))
            except KeyTaken:
                # Not while an organisation keeps its lane; probed again, the other's key is seen.
                known = await self._events.known(tx, names)
                decisions = decide()
                await self._events.add(tx, _new_rows(work, decisions))
        for (cursor, _), decision in zip(work, decisions, strict=True):
            await self._write_rest(tx, cursor, decision)
            cursor.next_entry_seq = decision.next_entry_seq
        return decisions

    async def _write_rest(self, tx: Transaction, cursor: BatchCursor, decision: Decision) -> None:
        """Write what few batches have."""
        if decision.restored:
            await self._events.add_without_keys(tx, cursor.lane, cursor.batch_seq, decision.restored)
        if decision.moved:
            await self._events.move(tx, cursor.batch_seq, decision.moved)
        if decision.dead_letters:
            await self._dead_letters.add(tx, cursor.lane, decision.dead_letters)
        if decision.claimed:
            await self._dead_letters.mark_claimed(tx, decision.claimed)
        if decision.reopened:
            await self._dead_letters.reopen(tx, decision.reopened)

    async def _quarantine_entry(
        self,
        tx: Transaction,
        cursor: BatchCursor,
        stream_seq: int,
        message: Intake,
        index: int,
        error: Exception,
    ) -> Decision:
        """Make a dead letter of one entry that fails alone; its id is claimed, where that is possible."""
        why = type(error).__name__
        log.warning("metering.entry.failed", lane=cursor.lane, stream_seq=stream_seq, entry=index, error=why)
        item = message.items[index]
        raw = raw_dead_letter(cursor.lane, stream_seq, index, entry_bytes(item), PROCESSING_FAILED, why)
        decision = Decision(cursor.next_entry_seq, outcomes=[DEAD_LETTERED])
        if isinstance(item, TakenEvent):
            event_id = uuid5_bytes(EVENT_NAMESPACE, item.name)
            decision.keys.append(NewKey(item.name, item.content_hash, event_id))
            decision.dead_letters.append(
                event_dead_letter(item, event_id, PROCESSING_FAILED, f"Storing it fails: {why}.")
            )
        elif item.HasField("requeue"):
            requeue = item.requeue
            decision.claimed.append((requeue.dead_letter_id, requeue.attempt))
            decision.reopened.append((requeue.dead_letter_id, requeue.attempt, PROCESSING_FAILED, why))
        else:
            decision.dead_letters.append(raw)
        try:
            async with tx.savepoint():
                await self._events.add(tx, [NewRows(cursor.lane, cursor.batch_seq, (), decision.keys)])
                await self._write_rest(tx, cursor, decision)
        except Exception as again:
            if classify(again) == "infrastructure":
                raise
            # Not even its id can be stored: what came is kept as raw bytes.
            decision = Decision(cursor.next_entry_seq, dead_letters=[raw], outcomes=[DEAD_LETTERED])
            await self._write_rest(tx, cursor, decision)
        return decision

    async def _quarantine_message(self, tx: Transaction, cursor: BatchCursor, message: Message, why: str) -> Decision:
        """Keep a message that cannot be read as one raw dead letter; the lane goes on."""
        dead_letter = raw_dead_letter(cursor.lane, message.stream_seq, 0, message.data, UNDECODABLE, why)
        outcomes = [DEAD_LETTERED] * message.weight
        decision = Decision(cursor.next_entry_seq, dead_letters=[dead_letter], outcomes=outcomes)
        await self._write_rest(tx, cursor, decision)
        return decision

    async def _finish(
        self,
        tx: Transaction,
        work: Sequence[LaneWork[Intake | Undecodable]],
        decisions: Sequence[Decision],
        traces: Sequence[BatchTraces],
    ) -> list[LaneOutcome]:
        """Note the batches in the journal; return what to publish, and whom to answer after the commit."""
        entries = []
        outcomes = []
        for (position, messages), decision, of_lane in zip(work, decisions, traces, strict=True):
            lane, batch_seq, first = position.lane, position.batch_seq + 1, position.next_entry_seq
            batch = accepted_to_message(lane, batch_seq, first, decision.accepted, packed=self._packed)
            batch.traces.extend(of_lane.ranges(decision.sources))
            event_count = len(decision.events) + len(decision.restored)
            entries.append(JournalEntry(lane, batch_seq, first, decision.next_entry_seq - 1, event_count))
            outcomes.append(
                LaneOutcome(
                    outputs=[LaneOutput(batch_seq, batch.SerializeToString())],
                    batch_seq=batch_seq,
                    next_entry_seq=decision.next_entry_seq,
                    after_commit=partial(self._tell, messages, decision),
                )
            )
        await self._journal.add(tx, entries)
        return outcomes

    async def _tell(self, messages: Sequence[Message], decision: Decision) -> None:
        """Count what was committed, and answer those that wait for it."""
        _count(decision)
        await self._answer(messages, decision.outcomes)

    async def _answer(self, messages: Sequence[Message], outcomes: list[int]) -> None:
        """Answer the calls that wait for the commit."""
        first = 0
        for message in messages:
            own = outcomes[first : first + message.weight]
            first += message.weight
            if isinstance(message.value, Intake) and message.value.reply_to:
                report = lane_pb2.CommitReport()
                report.outcomes.extend(cast(list[lane_pb2.EntryOutcome], own))
                await self._replies.send(message.value.reply_to, report.SerializeToString())


def _new_rows(work: Sequence[tuple[BatchCursor, object]], decisions: Sequence[Decision]) -> list[NewRows]:
    return [
        NewRows(cursor.lane, cursor.batch_seq, decision.events, decision.keys)
        for (cursor, _), decision in zip(work, decisions, strict=True)
    ]


def _count(decision: Decision) -> None:
    for outcome, count in Counter(decision.outcomes).items():
        name = lane_pb2.EntryOutcome.Name(cast(lane_pb2.EntryOutcome, outcome))
        metrics.EVENTS.labels(name.removeprefix("ENTRY_OUTCOME_").lower()).inc(count)
    reasons = Counter(dead_letter.reason for dead_letter in decision.dead_letters)
    reasons.update(reason for _, _, reason, _ in decision.reopened)
    for reason, count in reasons.items():
        metrics.DEAD_LETTERS.labels(reason).inc(count)


def _spans(cursor: BatchCursor, messages: Sequence[Message]) -> BatchTraces:
    """Return the spans of a batch: one of its own, and one in each trace that its messages came with."""
    incoming = [
        TraceRange(traceparent=message.value.traceparent) for message in messages if isinstance(message.value, Intake)
    ]
    entry_count = sum(message.weight for message in messages)
    return BatchTraces(
        "metering.write", incoming, {"lane": cursor.lane, "batch_seq": cursor.batch_seq, "entries": entry_count}
    )
