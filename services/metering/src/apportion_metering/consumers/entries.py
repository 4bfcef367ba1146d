"""The writer's loop over entries: read what they are, then decide on each in order by the rules of `domain.dedupe`.

Both passes run once an event, so they make no object that is not a row or a record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from apportion_common.ids import EVENT_NAMESPACE, uuid5_bytes
from apportion_common.topology import EVENT_IN_FUTURE, PAYLOAD_MISMATCH, UNDECODABLE

from apportion_metering.consumers.controls import add_requeue
from apportion_metering.consumers.dead_letters import (
    IN_FUTURE_DETAIL,
    INCOMPLETE_DETAIL,
    MISMATCH_DETAIL,
    event_dead_letter,
    raw_dead_letter,
)
from apportion_metering.consumers.decision import BatchCursor, Decision
from apportion_metering.consumers.intake import Intake, entry_bytes
from apportion_metering.domain.dedupe import (
    ACCEPTED,
    DUPLICATE,
    MISMATCH,
    decide_event,
    latest_event_time_us,
)
from apportion_metering.domain.entries import TakenEvent
from apportion_metering.store.dead_letters import ClaimedDeadLetter, NewDeadLetter
from apportion_metering.store.events import NewEvent, NewKey


class Run(NamedTuple):
    """Entries `first` up to, without, `stop` of a message."""

    stream_seq: int
    message: Intake
    first: int
    stop: int


class Reading(NamedTuple):
    """What some runs hold."""

    runs: Sequence[Run]
    names: dict[bytes, None]
    requeues: dict[bytes, int]
    """The latest attempt of each dead letter that is requeued."""


def read_runs(runs: Sequence[Run]) -> Reading:
    """Look at every entry once: the distinct ids and requeues among them."""
    names: dict[bytes, None] = {}
    requeues: dict[bytes, int] = {}
    for run in runs:
        for item in run.message.items[run.first : run.stop]:
            if isinstance(item, TakenEvent):
                names[item[0]] = None
            elif item.HasField("requeue"):
                requeue = item.requeue
                requeues[requeue.dead_letter_id] = max(requeue.attempt, requeues.get(requeue.dead_letter_id, 0))
    return Reading(runs, names, requeues)


def decide_runs(
    cursor: BatchCursor,
    reading: Reading,
    known: Mapping[bytes, bytes],
    requeued: Mapping[bytes, ClaimedDeadLetter],
) -> Decision:
    """Decide on each entry, in order. `known` holds the content hashes of ids that are claimed."""
    decision = Decision(cursor.next_entry_seq)
    claimed, waiting = dict(known), dict(requeued)
    # A NamedTuple's own constructor costs three times as much.
    new_tuple = tuple.__new__
    outcomes, sources = decision.outcomes, decision.sources
    add_event, add_accepted = decision.events.append, decision.accepted.append
    entry_seq = cursor.next_entry_seq
    for run in reading.runs:
        received_at_us = run.message.received_at_us
        latest_us = latest_event_time_us(received_at_us)
        source = run.message.traceparent
        for index, item in enumerate(run.message.items[run.first : run.stop], run.first):
            if isinstance(item, TakenEvent):
                name, _, _, event_time_us, digest, _ = item
                outcome = decide_event(claimed, name, digest, event_time_us, latest_us)
                if outcome == DUPLICATE:
                    outcomes.append(DUPLICATE)
                    continue
                event_id = uuid5_bytes(EVENT_NAMESPACE, name)
                if outcome != ACCEPTED:
                    _reject(decision, outcome, item, event_id)
                    continue
                add_event(new_tuple(NewEvent, (item, event_id, received_at_us, entry_seq)))
                add_accepted((event_id, item))
            elif item.HasField("period_close"):
                add_accepted(item.period_close)
            elif item.HasField("requeue"):
                dead_letter = waiting.pop(item.requeue.dead_letter_id, None)
                outcome = add_requeue(decision, dead_letter, item.requeue, received_at_us, entry_seq)
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


def _reject(decision: Decision, outcome: int, event: TakenEvent, event_id: bytes) -> None:
    """Make the dead letter of an event that is not stored, and claim its id where it claims it."""
    if outcome == MISMATCH:
        decision.dead_letters.append(event_dead_letter(event, event_id, PAYLOAD_MISMATCH, MISMATCH_DETAIL))
        decision.outcomes.append(MISMATCH)
    else:
        decision.keys.append(NewKey(event.name, event.content_hash, event_id))
        decision.quarantine(event_dead_letter(event, event_id, EVENT_IN_FUTURE, IN_FUTURE_DETAIL))


def _incomplete(lane: int, run: Run, index: int) -> NewDeadLetter:
    raw = entry_bytes(run.message.items[index])
    return raw_dead_letter(lane, run.stream_seq, index, raw, UNDECODABLE, INCOMPLETE_DETAIL)
