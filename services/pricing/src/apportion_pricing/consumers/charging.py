"""The loop over a batch's entries: each event is charged or rejected at its place, in memory.

Nothing here is made per event but numbers, bytes and tuples, and nothing is waited for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import index as quantity_of

from apportion.common.v1.lane_pb2 import PeriodClose
from apportion.pricing.v1.lane_pb2 import Rejection as RejectionMessage
from apportion_common.ids import charge_id
from apportion_common.lanes.traces import expand

from apportion_pricing.app.lane_memory import LaneMemory, LaneSegment, Position
from apportion_pricing.consumers.batches import Accepted
from apportion_pricing.consumers.rated_batches import Rated
from apportion_pricing.domain.corrections import corrected_amount
from apportion_pricing.domain.entries import Close, Usage
from apportion_pricing.domain.rejections import Rejection, RejectionReason
from apportion_pricing.domain.segments import into_closed
from apportion_pricing.store.charges import USAGE, ChargeStore
from apportion_pricing.store.period_closes import ClosedPeriod
from apportion_pricing.store.rejections import RejectedEvent


class Work:
    """What one transaction has to write."""

    def __init__(self) -> None:
        self.rows: list[bytes] = []
        self.rejected: list[RejectedEvent] = []
        self.closed: list[ClosedPeriod] = []
        self.touched: set[Position] = set()


def rate_entries(
    memory: LaneMemory,
    batch: Accepted,
    start: int,
    entries: Sequence[Usage | Close],
    segments: Iterator[LaneSegment],
    charges: ChargeStore,
    work: Work,
) -> Rated:
    """Rate entries of a batch (the first is its `start`th), in memory; `segments` has each event's.

    What is to be written is added to `work`; `charges` packs its rows.
    """
    batch_seq = batch.batch_seq
    rated = Rated(memory.lane, batch_seq, memory.catalog_revision, memory.orgs_revision)
    came_from = expand(batch.traces, len(batch.entries)) if batch.traces else None
    sources = rated.sources
    stored_before = len(work.rows)
    add_charge, add_row, touch, row = rated.charges.append, work.rows.append, work.touched.add, charges.row
    for number, entry in enumerate(entries, start):
        if isinstance(entry, Close):
            change = entry.change
            if memory.change(change):
                work.closed.append(ClosedPeriod(change, batch_seq, entry.entry_seq))
            rated.period_closes.append(
                PeriodClose(period=change.period, org_id=change.org_id or b"", reopening=change.reopening)
            )
            continue
        segment = next(segments)
        if segment.rejection is not None:
            late = _late_segment(memory, segment, batch.into_periods.get(entry[0], ""), charges)
            if isinstance(late, Rejection):
                _reject(entry, late, rated, work)
                continue
            segment = late
        entry_seq, event_id, _, project_id, _, quantity, event_time_us = entry
        position = segment.position
        before = position.state
        outcome = segment.increment(before, quantity, segment.table)
        if isinstance(outcome, Rejection):
            _reject(entry, outcome, rated, work)
            continue
        after, amount = outcome
        if quantity < 0 and segment.stored:
            corrected = corrected_amount(
                position.charged if segment.live else position.shadowed, quantity_of(after), amount
            )
            if isinstance(corrected, Rejection):
                _reject(entry, corrected, rated, work)
                continue
            amount = corrected
        position.state = after
        touch(position)
        if not segment.stored:
            continue
        if segment.live:
            position.charged += amount
        else:
            position.shadowed += amount
        charge = charge_id(event_id, USAGE)
        add_row(
            row(
                segment.constants,
                batch_seq,
                charge,
                event_id,
                project_id,
                quantity,
                quantity_of(before),
                amount,
                event_time_us,
                entry_seq,
            )
        )
        if not segment.live:
            continue
        add_charge(((segment, project_id), entry_seq, charge, event_id, quantity, amount, event_time_us))
        if came_from is not None:
            sources.append(came_from[number])
    rated.stored = len(work.rows) - stored_before
    return rated


def _late_segment(
    memory: LaneMemory, segment: LaneSegment, into_period: str, charges: ChargeStore
) -> LaneSegment | Rejection:
    """Return by what an event of a rejecting segment is charged when `into_period` (or none) bills it, or why it is
    rejected all the same.
    """
    rejection = segment.rejection
    assert rejection is not None
    if rejection.reason is not RejectionReason.PERIOD_CLOSED or into_period <= segment.period:
        return rejection
    if memory.is_closed(into_period, segment.position.key[0]):
        return into_closed(segment.period, into_period)
    return memory.late_segment(segment, into_period, charges.constants)


def rejected_event(usage: Usage, batch_seq: int, reason: str, detail: str) -> RejectedEvent:
    """Return an event of a batch as it is rejected."""
    entry_seq, event_id, org_id, _, sku, _, event_time_us = usage
    return RejectedEvent(event_id, entry_seq, org_id, sku, event_time_us, reason, detail, batch_seq)


def rejection_to_message(rejected: RejectedEvent) -> RejectionMessage:
    """Return what the rated batch says of a rejected event."""
    return RejectionMessage(
        event_id=rejected.event_id,
        org_id=rejected.org_id,
        entry_seq=rejected.entry_seq,
        reason=rejected.reason,
        detail=rejected.detail,
    )


def _reject(usage: Usage, rejection: Rejection, rated: Rated, work: Work) -> None:
    rejected = rejected_event(usage, rated.batch_seq, rejection.reason, rejection.detail)
    work.rejected.append(rejected)
    rated.rejections.append(rejection_to_message(rejected))
