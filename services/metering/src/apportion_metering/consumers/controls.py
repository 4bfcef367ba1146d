"""Control entries on a lane: requeues of dead letters, and closes of periods."""

from __future__ import annotations

from apportion.common.v1.lane_pb2 import PeriodClose
from apportion.metering.v1 import lane_pb2
from apportion_common.ids import EVENT_NAMESPACE, uuid5_bytes
from apportion_common.topology import EVENT_IN_FUTURE

from apportion_metering.consumers.dead_letters import IN_FUTURE_DETAIL
from apportion_metering.consumers.decision import ORG_ID_BYTES, Decision, fill_usage, new_event
from apportion_metering.domain.dedupe import ACCEPTED, DEAD_LETTERED, DUPLICATE, decide_requeue, latest_event_time_us
from apportion_metering.store.dead_letters import ClaimedDeadLetter


def add_period_close(decision: Decision, close: PeriodClose, entry_seq: int) -> None:
    """Pass a close on under its entry number."""
    out = decision.batch.entries.add()
    out.entry_seq = entry_seq
    out.period_close.CopyFrom(close)


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
    event = lane_pb2.IntakeEvent.FromString(dead_letter.payload)
    latest_us = latest_event_time_us(received_at_us)
    outcome = decide_requeue(dead_letter.attempt, requeue.attempt, event.event_time_us, latest_us)
    if outcome == DUPLICATE:
        return DUPLICATE
    decision.claimed.append((requeue.dead_letter_id, requeue.attempt))
    if outcome != ACCEPTED:
        decision.reopened.append((requeue.dead_letter_id, requeue.attempt, EVENT_IN_FUTURE, IN_FUTURE_DETAIL))
        return DEAD_LETTERED
    name = event.org_id + event.request_id.encode()
    event_id = uuid5_bytes(EVENT_NAMESPACE, name)
    if not dead_letter.stored:
        decision.restored.append(new_event(event, event_id, name, event.content_hash, received_at_us, entry_seq))
    decision.moved.append((event.org_id, name[ORG_ID_BYTES:], entry_seq))
    fill_usage(decision.batch.entries.add(), entry_seq, event, event_id, name)
    return ACCEPTED
