"""Requeues of dead letters on a lane."""

from __future__ import annotations

from apportion.metering.v1 import lane_pb2
from apportion_common.ids import EVENT_NAMESPACE, uuid5_bytes
from apportion_common.topology import EVENT_IN_FUTURE

from apportion_metering.consumers.dead_letters import IN_FUTURE_DETAIL
from apportion_metering.consumers.decision import Decision, LateEvent
from apportion_metering.consumers.intake import event_from_message
from apportion_metering.domain.dedupe import ACCEPTED, DEAD_LETTERED, DUPLICATE, decide_requeue, latest_event_time_us
from apportion_metering.store.dead_letters import ClaimedDeadLetter
from apportion_metering.store.events import NewEvent


def add_requeue(
    decision: Decision,
    dead_letter: ClaimedDeadLetter | None,
    requeue: lane_pb2.Requeue,
    received_at_us: int,
    entry_seq: int,
) -> int:
    """Publish a requeued event under a new entry number; return the outcome, which says whether it took it.

    `dead_letter` is what waits for the requeue; None when nothing does.
    """
    if dead_letter is None:
        return DUPLICATE
    event = event_from_message(lane_pb2.IntakeEvent.FromString(dead_letter.payload))
    latest_us = latest_event_time_us(received_at_us)
    outcome = decide_requeue(dead_letter.attempt, requeue.attempt, event.event_time_us, latest_us)
    if outcome == DUPLICATE:
        return DUPLICATE
    decision.claimed.append((requeue.dead_letter_id, requeue.attempt))
    if outcome != ACCEPTED:
        decision.reopened.append((requeue.dead_letter_id, requeue.attempt, EVENT_IN_FUTURE, IN_FUTURE_DETAIL))
        return DEAD_LETTERED
    event_id = uuid5_bytes(EVENT_NAMESPACE, event.name)
    if not dead_letter.stored:
        decision.restored.append(NewEvent(event, event_id, received_at_us, entry_seq))
    decision.moved.append((event.name, entry_seq))
    late = LateEvent(event_id, event, requeue.into_period)
    decision.accepted.append(late if requeue.into_period else (event_id, event))
    return ACCEPTED
