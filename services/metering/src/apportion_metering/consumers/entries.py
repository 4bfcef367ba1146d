"""The writer's loop over entries: read what they are, then decide on each in order by the rules of `domain.dedupe`.

Both passes run once an event, so they make no object that is not a row or a message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from apportion.metering.v1 import lane_pb2
from apportion_common.ids import EVENT_NAMESPACE, uuid5_bytes
from apportion_common.topology import EVENT_IN_FUTURE, PAYLOAD_MISMATCH, UNDECODABLE

from apportion_metering.consumers.controls import add_period_close, add_requeue
from apportion_metering.consumers.dead_letters import (
    IN_FUTURE_DETAIL,
    INCOMPLETE_DETAIL,
    MISMATCH_DETAIL,
    event_dead_letter,
    raw_dead_letter,
)
from apportion_metering.consumers.decision import ORG_ID_BYTES, BatchCursor, Decision, fill_usage, new_event
from apportion_metering.domain.dedupe import (
    ACCEPTED,
    DUPLICATE,
    IN_FUTURE,
    MISMATCH,
    decide_event,
    latest_event_time_us,
)
from apportion_metering.store.dead_letters import ClaimedDeadLetter, NewDeadLetter
from apportion_metering.store.events import NewKey


class Run(NamedTuple):
    """Entries `first` up to, without, `stop` of a message."""

    stream_seq: int
    message: lane_pb2.IntakeMessage
    first: int
    stop: int


Item = tuple[lane_pb2.IntakeEvent | lane_pb2.IntakeEntry, bytes]
"""An event with its name (org id and request id, joined), or any other entry with an empty one."""


class Reading(NamedTuple):
    """What some runs hold."""

    items: list[tuple[Run, list[Item]]]
    names: dict[bytes, None]
    requeues: dict[bytes, int]
    """The latest attempt of each dead letter that is requeued."""


def read_runs(runs: Sequence[Run]) -> Reading:
    """Look at every entry once: which it is, and the distinct ids and requeues among them."""
    reading = Reading([], {}, {})
    names = reading.names
    for run in runs:
        items: list[Item] = []
        for entry in run.message.entries[run.first : run.stop]:
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
        reading.items.append((run, items))
    return reading


def decide_runs(
    cursor: BatchCursor,
    reading: Reading,
    known: Mapping[bytes, bytes],
    requeued: Mapping[bytes, ClaimedDeadLetter],
) -> Decision:
    """Decide on each entry, in order. `known` holds the content hashes of ids that are claimed."""
    decision = Decision(cursor.next_entry_seq)
    decision.batch.lane, decision.batch.batch_seq = cursor.lane, cursor.batch_seq
    claimed, waiting = dict(known), dict(requeued)
    add_out = decision.batch.entries.add
    outcomes, sources, events = decision.outcomes, decision.sources, decision.events
    entry_seq = cursor.next_entry_seq
    for run, items in reading.items:
        received_at_us = run.message.received_at_us
        latest_us = latest_event_time_us(received_at_us)
        source = run.message.traceparent
        for index, (item, name) in enumerate(items, run.first):
            if name:
                event = cast(lane_pb2.IntakeEvent, item)
                digest = event.content_hash
                outcome = decide_event(claimed, name, digest, event.quantity, event.event_time_us, latest_us)
                if outcome == DUPLICATE:
                    outcomes.append(DUPLICATE)
                    continue
                event_id = uuid5_bytes(EVENT_NAMESPACE, name)
                if outcome != ACCEPTED:
                    _reject(decision, outcome, cursor.lane, run, index, event, event_id, name)
                    continue
                events.append(new_event(event, event_id, name, digest, received_at_us, entry_seq))
                fill_usage(add_out(), entry_seq, event, event_id, name)
            else:
                entry = cast(lane_pb2.IntakeEntry, item)
                kind = entry.WhichOneof("kind")
                if kind == "period_close":
                    add_period_close(decision, entry.period_close, entry_seq)
                elif kind == "requeue":
                    dead_letter = waiting.pop(entry.requeue.dead_letter_id, None)
                    outcome = add_requeue(decision, dead_letter, entry.requeue, received_at_us, entry_seq)
                    if outcome != ACCEPTED:
                        outcomes.append(outcome)
                        continue
                else:
                    decision.quarantine(_incomplete(cursor.lane, run, index))
                    continue
            entry_seq += 1
            outcomes.append(ACCEPTED)
            sources.append(source)
    decision.next_entry_seq = entry_seq
    return decision


def _reject(
    decision: Decision,
    outcome: int,
    lane: int,
    run: Run,
    index: int,
    event: lane_pb2.IntakeEvent,
    event_id: bytes,
    name: bytes,
) -> None:
    """Make the dead letter of an event that is not stored, and claim its id where it claims it."""
    if outcome == MISMATCH:
        decision.dead_letters.append(event_dead_letter(event, event_id, PAYLOAD_MISMATCH, MISMATCH_DETAIL))
        decision.outcomes.append(MISMATCH)
    elif outcome == IN_FUTURE:
        decision.keys.append(NewKey(name[:ORG_ID_BYTES], name[ORG_ID_BYTES:], event.content_hash, event_id, None))
        decision.quarantine(event_dead_letter(event, event_id, EVENT_IN_FUTURE, IN_FUTURE_DETAIL))
    else:
        decision.quarantine(_incomplete(lane, run, index))


def _incomplete(lane: int, run: Run, index: int) -> NewDeadLetter:
    raw = run.message.entries[index].SerializeToString()
    return raw_dead_letter(lane, run.stream_seq, index, raw, UNDECODABLE, INCOMPLETE_DETAIL)
