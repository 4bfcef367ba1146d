"""The writer: dedupes a lane's messages for ever, gives every accepted entry its place, and stores it (spec 04).

What may be wrong with an event by rule is an outcome beside the good ones, in the same transaction. Nothing here
looks at a clock: windows are measured from the message's own received_at.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, cast

from apportion.common.v1.lane_pb2 import TraceRange
from apportion.metering.v1 import lane_pb2
from apportion_common.db.unit_of_work import Transaction
from apportion_common.faults import classify
from apportion_common.ids import EVENT_NAMESPACE, uuid5_bytes
from apportion_common.lanes.model import LaneMessage, LaneOutcome, LaneOutput, LanePosition
from apportion_common.lanes.traces import BatchTraces
from apportion_common.logs import get_logger
from google.protobuf.message import DecodeError

from apportion_metering.app import metrics
from apportion_metering.app.ports import (
    DeadLetters,
    Events,
    Journal,
    JournalEntry,
    KeyTaken,
    NewDeadLetter,
    NewEvent,
    NewKey,
    ReplySender,
    TakenLetter,
)
from apportion_metering.domain.dead_letters import (
    EVENT_IN_FUTURE,
    PAYLOAD_MISMATCH,
    PROCESSING_FAILED,
    UNDECODABLE,
    dead_letter_id,
    raw_letter_id,
)
from apportion_metering.limits import (
    DEAD_LETTER_DETAIL_CHARS_MAX,
    DEAD_LETTER_PAYLOAD_BYTES_MAX,
    EVENT_LEAD_US_MAX,
    MESSAGE_ENTRIES_MAX,
)

ROLE: Final = "metering_writer"

ORG_ID_BYTES: Final = 16
CONTENT_HASH_BYTES: Final = 32

ACCEPTED: Final = lane_pb2.ENTRY_OUTCOME_ACCEPTED
DUPLICATE: Final = lane_pb2.ENTRY_OUTCOME_DUPLICATE
MISMATCH: Final = lane_pb2.ENTRY_OUTCOME_PAYLOAD_MISMATCH
DEAD: Final = lane_pb2.ENTRY_OUTCOME_DEAD_LETTERED

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A message that is none."""

    why: str


WriterInput = lane_pb2.IntakeMessage | Undecodable


class _Part(NamedTuple):
    """Entries `first` up to, without, `stop` of a message."""

    stream_seq: int
    message: lane_pb2.IntakeMessage
    first: int
    stop: int


_Item = tuple[lane_pb2.IntakeEvent | lane_pb2.IntakeEntry, bytes]
"""An event with its name (org id and request id, joined), or any other entry with an empty one."""


class _Reading(NamedTuple):
    """What some parts hold."""

    items: list[tuple[_Part, list[_Item]]]
    names: dict[bytes, None]
    requeues: dict[bytes, int]


@dataclass(slots=True)
class _Decision:
    """What becomes of some parts: rows to write, entries to hand on, an outcome for each entry."""

    next_entry_seq: int
    events: list[NewEvent] = field(default_factory=list)
    restored: list[NewEvent] = field(default_factory=list)
    """Requeued events that were claimed and never stored."""
    keys: list[NewKey] = field(default_factory=list)
    moved: list[tuple[bytes, bytes, int]] = field(default_factory=list)
    letters: list[NewDeadLetter] = field(default_factory=list)
    taken: list[tuple[bytes, int]] = field(default_factory=list)
    reopened: list[tuple[bytes, int, str, str]] = field(default_factory=list)
    batch: lane_pb2.AcceptedBatch = field(default_factory=lane_pb2.AcceptedBatch)
    sources: list[str] = field(default_factory=list)
    """The traceparent of each entry handed on."""
    outcomes: list[lane_pb2.EntryOutcome] = field(default_factory=list)


class _Totals:
    """A batch in the making: the decisions that stand so far."""

    def __init__(self, position: LanePosition) -> None:
        self.lane = position.lane
        self.batch_seq = position.batch_seq + 1
        self.seq_from = self.next_entry_seq = position.next_entry_seq
        self.batch = lane_pb2.AcceptedBatch(lane=self.lane, batch_seq=self.batch_seq)
        self.sources: list[str] = []
        self.outcomes: list[lane_pb2.EntryOutcome] = []
        self.event_count = 0
        self.reasons: Counter[str] = Counter()

    def add(self, decision: _Decision) -> None:
        """Take in a decision whose rows are written."""
        self.next_entry_seq = decision.next_entry_seq
        if self.sources:
            self.batch.MergeFrom(decision.batch)
        else:
            decision.batch.lane, decision.batch.batch_seq = self.lane, self.batch_seq
            self.batch = decision.batch
        self.sources += decision.sources
        self.outcomes += decision.outcomes
        self.event_count += len(decision.events) + len(decision.restored)
        self.reasons.update(letter.reason for letter in decision.letters)
        self.reasons.update(reason for _, _, reason, _ in decision.reopened)


class Writer:
    """The LaneProcessor of METERING_IN; one accepted batch a transaction, also when it is empty."""

    max_weight = MESSAGE_ENTRIES_MAX

    def __init__(self, events: Events, dead_letters: DeadLetters, journal: Journal, replies: ReplySender) -> None:
        self._events = events
        self._dead_letters = dead_letters
        self._journal = journal
        self._replies = replies

    def decode(self, data: bytes) -> tuple[WriterInput, int]:
        """The message and its number of entries; what cannot be read is a value of its own."""
        try:
            message = lane_pb2.IntakeMessage.FromString(data)
        except DecodeError:
            return Undecodable("The message is not an IntakeMessage."), 1
        count = len(message.entries)
        if not 1 <= count <= MESSAGE_ENTRIES_MAX:
            return Undecodable(f"The message has {count} entries, not 1 to {MESSAGE_ENTRIES_MAX}."), 1
        return message, count

    def batch_seq_of(self, value: WriterInput) -> int | None:
        """None: the writer gives the numbers."""
        return None

    async def forget(self, lane: int) -> None:
        """Nothing is held in memory between batches: what is known of an id is in the database alone."""

    async def process(
        self, tx: Transaction, position: LanePosition, messages: Sequence[LaneMessage[WriterInput]]
    ) -> LaneOutcome:
        """Store the messages' new events, in one accepted batch. Raises to undo all of it."""
        totals = _Totals(position)
        with _spans(totals, messages) as traces:
            parts: list[_Part] = []
            for message in messages:
                if isinstance(message.value, Undecodable):
                    # Rare: what came before it is applied first, so that the order of outcomes stays.
                    await self._apply(tx, totals, parts)
                    parts = []
                    await self._set_aside_message(tx, totals, message, message.value.why)
                else:
                    parts.append(_Part(message.stream_seq, message.value, 0, message.weight))
            await self._apply(tx, totals, parts)
            return await self._finish(tx, totals, messages, traces)

    async def process_failed(
        self, tx: Transaction, position: LanePosition, message: LaneMessage[WriterInput], error: Exception
    ) -> LaneOutcome:
        """Halve the message until the entries that fail alone are found: dead letters; the rest is stored."""
        totals = _Totals(position)
        with _spans(totals, [message]) as traces:
            if isinstance(message.value, Undecodable):
                await self._set_aside_message(tx, totals, message, message.value.why)
            else:
                await self._narrow(tx, totals, _Part(message.stream_seq, message.value, 0, message.weight))
            return await self._finish(tx, totals, [message], traces)

    async def _finish(
        self, tx: Transaction, totals: _Totals, messages: Sequence[LaneMessage[WriterInput]], traces: BatchTraces
    ) -> LaneOutcome:
        """Write the batch into the journal and make its output."""
        totals.batch.traces.extend(traces.ranges(totals.sources))
        await self._journal.add(
            tx,
            JournalEntry(totals.lane, totals.batch_seq, totals.seq_from, totals.next_entry_seq - 1, totals.event_count),
        )

        async def after_commit() -> None:
            self._count(totals)
            await self._answer(messages, totals.outcomes)

        return LaneOutcome(
            outputs=[LaneOutput(totals.batch_seq, totals.batch.SerializeToString())],
            batch_seq=totals.batch_seq,
            next_entry_seq=totals.next_entry_seq,
            after_commit=after_commit,
        )

    @staticmethod
    def _count(totals: _Totals) -> None:
        for outcome, count in Counter(totals.outcomes).items():
            name = lane_pb2.EntryOutcome.Name(outcome).removeprefix("ENTRY_OUTCOME_").lower()
            metrics.EVENTS.labels(name).inc(count)
        for reason, count in totals.reasons.items():
            metrics.DEAD_LETTERS.labels(reason).inc(count)

    async def _answer(
        self, messages: Sequence[LaneMessage[WriterInput]], outcomes: list[lane_pb2.EntryOutcome]
    ) -> None:
        """Answer the calls that wait for the commit."""
        first = 0
        for message in messages:
            own = outcomes[first : first + message.weight]
            first += message.weight
            if isinstance(message.value, lane_pb2.IntakeMessage) and message.value.reply_to:
                report = lane_pb2.CommitReport()
                report.outcomes.extend(own)
                await self._replies.send(message.value.reply_to, report.SerializeToString())

    async def _apply(self, tx: Transaction, totals: _Totals, parts: Sequence[_Part]) -> None:
        """Decide on parts and write what comes of them."""
        if not parts:
            return
        reading = _read(parts)
        names = list(reading.names)
        taken = await self._dead_letters.take(tx, reading.requeues) if reading.requeues else {}
        known = await self._events.known(tx, names) if names else {}
        decision = _decide(totals, reading, known, taken)
        if decision.events or decision.keys:
            try:
                await self._events.add(tx, totals.lane, totals.batch_seq, decision.events, decision.keys)
            except KeyTaken:
                # Not while an organisation keeps its lane; asked again, the probe sees the other's key.
                known = await self._events.known(tx, names)
                decision = _decide(totals, reading, known, taken)
                await self._events.add(tx, totals.lane, totals.batch_seq, decision.events, decision.keys)
        await self._write_rest(tx, totals, decision)
        totals.add(decision)

    async def _write_rest(self, tx: Transaction, totals: _Totals, decision: _Decision) -> None:
        """What most batches have nothing of."""
        if decision.restored:
            await self._events.add_without_keys(tx, totals.lane, totals.batch_seq, decision.restored)
        if decision.moved:
            await self._events.move(tx, totals.batch_seq, decision.moved)
        if decision.letters:
            await self._dead_letters.add(tx, totals.lane, decision.letters)
        if decision.taken:
            await self._dead_letters.mark_taken(tx, decision.taken)
        if decision.reopened:
            await self._dead_letters.reopen(tx, decision.reopened)

    async def _narrow(self, tx: Transaction, totals: _Totals, part: _Part) -> None:
        """Apply a part, or its halves, or set its only entry aside."""
        try:
            async with tx.savepoint():
                await self._apply(tx, totals, [part])
        except Exception as error:
            if classify(error) == "infrastructure":
                raise
            if part.stop - part.first > 1:
                middle = (part.first + part.stop) // 2
                await self._narrow(tx, totals, part._replace(stop=middle))
                await self._narrow(tx, totals, part._replace(first=middle))
            else:
                await self._set_aside_entry(tx, totals, part, error)

    async def _set_aside_entry(self, tx: Transaction, totals: _Totals, part: _Part, error: Exception) -> None:
        """Dead-letter one entry that fails alone; its id is claimed, where that is possible."""
        log.warning(
            "metering.entry.failed",
            lane=totals.lane,
            stream_seq=part.stream_seq,
            entry=part.first,
            error=type(error).__name__,
        )
        entry = part.message.entries[part.first]
        decision = _Decision(totals.next_entry_seq)
        raw = _raw_letter(
            totals.lane, part.stream_seq, part.first, entry.SerializeToString(), PROCESSING_FAILED, type(error).__name__
        )
        if entry.WhichOneof("kind") == "requeue":
            requeue = entry.requeue
            decision.taken.append((requeue.dead_letter_id, requeue.attempt))
            decision.reopened.append((requeue.dead_letter_id, requeue.attempt, PROCESSING_FAILED, type(error).__name__))
        elif entry.WhichOneof("kind") == "event":
            event = entry.event
            name = event.org_id + event.request_id.encode()
            event_id = uuid5_bytes(EVENT_NAMESPACE, name)
            decision.keys.append(NewKey(event.org_id, name[16:], event.content_hash, event_id, None))
            decision.letters.append(
                _letter(event, event_id, PROCESSING_FAILED, f"Storing it fails: {type(error).__name__}.")
            )
        else:
            decision.letters.append(raw)
        decision.outcomes.append(DEAD)
        try:
            async with tx.savepoint():
                await self._events.add(tx, totals.lane, totals.batch_seq, [], decision.keys)
                await self._write_rest(tx, totals, decision)
        except Exception as again:
            if classify(again) == "infrastructure":
                raise
            # Not even its id can be stored: what came is kept as raw bytes.
            decision = _Decision(totals.next_entry_seq, letters=[raw], outcomes=[DEAD])
            await self._write_rest(tx, totals, decision)
        totals.add(decision)

    async def _set_aside_message(
        self, tx: Transaction, totals: _Totals, message: LaneMessage[WriterInput], why: str
    ) -> None:
        """Keep a message that cannot be read as one raw dead letter; the lane goes on."""
        letter = _raw_letter(totals.lane, message.stream_seq, 0, message.data, UNDECODABLE, why)
        decision = _Decision(totals.next_entry_seq, letters=[letter], outcomes=[DEAD] * message.weight)
        await self._write_rest(tx, totals, decision)
        totals.add(decision)


def _spans(totals: _Totals, messages: Sequence[LaneMessage[WriterInput]]) -> BatchTraces:
    """The spans of a batch: one of its own, and one in each trace that its messages came with."""
    incoming = [
        TraceRange(traceparent=message.value.traceparent)
        for message in messages
        if isinstance(message.value, lane_pb2.IntakeMessage)
    ]
    entry_count = sum(message.weight for message in messages)
    return BatchTraces(
        "metering.write", incoming, {"lane": totals.lane, "pos": totals.batch_seq, "entries": entry_count}
    )


def _read(parts: Sequence[_Part]) -> _Reading:
    """Look at every entry once: which it is, and the distinct ids and requeues among them."""
    reading = _Reading([], {}, {})
    names = reading.names
    for part in parts:
        items: list[_Item] = []
        for entry in part.message.entries[part.first : part.stop]:
            kind = entry.WhichOneof("kind")
            if kind == "event":
                event = entry.event
                org_id, request_id = event.org_id, event.request_id
                if len(org_id) == ORG_ID_BYTES and request_id:
                    name = org_id + request_id.encode()
                    names[name] = None
                    items.append((event, name))
                    continue
            elif kind == "requeue":
                requeue = entry.requeue
                attempt = max(requeue.attempt, reading.requeues.get(requeue.dead_letter_id, 0))
                reading.requeues[requeue.dead_letter_id] = attempt
            items.append((entry, b""))
        reading.items.append((part, items))
    return reading


def _decide(
    totals: _Totals, reading: _Reading, known: dict[bytes, bytes], taken: dict[bytes, TakenLetter]
) -> _Decision:
    """What becomes of each entry, in order. `known` holds the content hashes of ids that are claimed."""
    decision = _Decision(totals.next_entry_seq)
    seen = dict(known)
    waiting = dict(taken)
    add_out = decision.batch.entries.add
    outcomes, sources, events = decision.outcomes, decision.sources, decision.events
    entry_seq = totals.next_entry_seq
    for part, items in reading.items:
        received_at_us = part.message.received_at_us
        latest_us = received_at_us + EVENT_LEAD_US_MAX
        source = part.message.traceparent
        for index, (item, name) in enumerate(items, part.first):
            if name:
                event = cast(lane_pb2.IntakeEvent, item)
                digest = event.content_hash
                first = seen.get(name)
                if first is None and len(digest) == CONTENT_HASH_BYTES and event.quantity:
                    seen[name] = digest
                    event_id = uuid5_bytes(EVENT_NAMESPACE, name)
                    if event.event_time_us <= latest_us:
                        events.append(_new_event(event, event_id, name, digest, received_at_us, entry_seq))
                        _hand_on(add_out(), entry_seq, event, event_id, name)
                        entry_seq += 1
                        outcomes.append(ACCEPTED)
                        sources.append(source)
                        continue
                    decision.keys.append(NewKey(name[:ORG_ID_BYTES], name[ORG_ID_BYTES:], digest, event_id, None))
                    decision.letters.append(_letter(event, event_id, EVENT_IN_FUTURE, _LEAD_DETAIL))
                    outcomes.append(DEAD)
                elif first is None:
                    decision.letters.append(_malformed(totals.lane, part, index))
                    outcomes.append(DEAD)
                elif first == digest:
                    outcomes.append(DUPLICATE)
                else:
                    event_id = uuid5_bytes(EVENT_NAMESPACE, name)
                    decision.letters.append(_letter(event, event_id, PAYLOAD_MISMATCH, _MISMATCH_DETAIL))
                    outcomes.append(MISMATCH)
                continue
            entry = cast(lane_pb2.IntakeEntry, item)
            kind = entry.WhichOneof("kind")
            if kind == "period_close":
                out = add_out()
                out.entry_seq = entry_seq
                out.period_close.CopyFrom(entry.period_close)
            elif kind == "requeue":
                letter = waiting.pop(entry.requeue.dead_letter_id, None)
                outcome = _take_up(decision, letter, entry.requeue, received_at_us, entry_seq)
                if outcome != ACCEPTED:
                    outcomes.append(outcome)
                    continue
            else:
                decision.letters.append(_malformed(totals.lane, part, index))
                outcomes.append(DEAD)
                continue
            entry_seq += 1
            outcomes.append(ACCEPTED)
            sources.append(source)
    decision.next_entry_seq = entry_seq
    return decision


def _take_up(
    decision: _Decision, letter: TakenLetter | None, requeue: lane_pb2.Requeue, received_at_us: int, entry_seq: int
) -> lane_pb2.EntryOutcome:
    """Give a requeued dead letter's event the place `seq`; the outcome says whether it took it."""
    if letter is None or letter.attempt != requeue.attempt:
        # Taken up before, or given up since: nothing to do, and no place to give.
        return DUPLICATE
    decision.taken.append((requeue.dead_letter_id, requeue.attempt))
    event = lane_pb2.IntakeEvent.FromString(letter.payload)
    if event.event_time_us > received_at_us + EVENT_LEAD_US_MAX:
        decision.reopened.append((requeue.dead_letter_id, requeue.attempt, EVENT_IN_FUTURE, _LEAD_DETAIL))
        return DEAD
    name = event.org_id + event.request_id.encode()
    event_id = uuid5_bytes(EVENT_NAMESPACE, name)
    if not letter.stored:
        decision.restored.append(_new_event(event, event_id, name, event.content_hash, received_at_us, entry_seq))
    decision.moved.append((event.org_id, name[ORG_ID_BYTES:], entry_seq))
    _hand_on(decision.batch.entries.add(), entry_seq, event, event_id, name)
    return ACCEPTED


_LEAD_DETAIL: Final = f"The event lies more than {EVENT_LEAD_US_MAX // 60_000_000} minutes after its receipt."


_MISMATCH_DETAIL: Final = "Another event came with this id before; the first stands."


def _new_event(
    event: lane_pb2.IntakeEvent, event_id: bytes, name: bytes, digest: bytes, received_at_us: int, entry_seq: int
) -> NewEvent:
    metadata = event.metadata
    return NewEvent(
        event_id,
        name[:ORG_ID_BYTES],
        name[ORG_ID_BYTES:],
        digest,
        event.project_id,
        event.sku,
        event.quantity,
        event.event_time_us,
        event.source,
        received_at_us,
        entry_seq,
        json.dumps(dict(metadata), ensure_ascii=False, sort_keys=True) if metadata else "",
    )


def _hand_on(
    out: lane_pb2.AcceptedEntry, entry_seq: int, event: lane_pb2.IntakeEvent, event_id: bytes, name: bytes
) -> None:
    """Fill in what pricing gets of an event."""
    out.entry_seq = entry_seq
    usage = out.usage
    usage.event_id = event_id
    usage.org_id = name[:ORG_ID_BYTES]
    project_id = event.project_id
    if project_id:
        usage.project_id = project_id
    usage.sku = event.sku
    usage.quantity = event.quantity
    usage.event_time_us = event.event_time_us


def _letter(event: lane_pb2.IntakeEvent, event_id: bytes, reason: str, detail: str) -> NewDeadLetter:
    """The dead letter of an event; its id follows from the event's and its content."""
    return NewDeadLetter(
        dead_letter_id(event_id, event.content_hash),
        event.org_id,
        event.request_id,
        event_id,
        event.content_hash,
        reason,
        detail,
        event.SerializeToString(),
        None,
    )


def _malformed(lane: int, part: _Part, index: int) -> NewDeadLetter:
    raw = part.message.entries[index].SerializeToString()
    return _raw_letter(lane, part.stream_seq, index, raw, UNDECODABLE, "The entry lacks what every entry has.")


def _raw_letter(lane: int, stream_seq: int, index: int, raw: bytes, reason: str, detail: str) -> NewDeadLetter:
    """The dead letter of bytes that name no event."""
    letter_id = raw_letter_id(lane, stream_seq, index, raw)
    payload = raw[:DEAD_LETTER_PAYLOAD_BYTES_MAX]
    return NewDeadLetter(
        letter_id, None, None, None, None, reason, detail[:DEAD_LETTER_DETAIL_CHARS_MAX], payload, None
    )
