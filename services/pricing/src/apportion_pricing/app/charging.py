"""The loop over a batch's entries: each event is charged or refused at its place, in memory.

Nothing here is made per event but numbers, bytes and one message, and nothing is waited for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from apportion.common.v1.lane_pb2 import PeriodClose
from apportion.pricing.v1.lane_pb2 import RatedBatch
from apportion.pricing.v1.lane_pb2 import Rejection as RejectionMessage
from apportion_common.ids import charge_id
from apportion_common.lanes.traces import expand
from apportion_common.protos import pack_int

from apportion_pricing.app.batches import Accepted, Close, Usage
from apportion_pricing.app.effective import PERIOD_CLOSED, PROCESSING_FAILED, Position
from apportion_pricing.app.lane_memory import LaneMemory, Stretch
from apportion_pricing.app.ports import ChargeStore, ClosedPeriod, RefusedEvent
from apportion_pricing.domain.rating import Refusal, step

USAGE: Final = "usage"

_STEP_REFUSALS: Final = {
    Refusal.CORRECTION_BELOW_ZERO: (
        Refusal.CORRECTION_BELOW_ZERO.value,
        "The correction is larger than what the period has used so far.",
    ),
    Refusal.AMOUNT_OUT_OF_RANGE: (PROCESSING_FAILED, "The period's usage or the amount has more than 18 digits."),
}


class Rated:
    """What some entries of one accepted batch came to."""

    def __init__(self, batch: RatedBatch, sources: list[str], stored: int) -> None:
        self.batch = batch
        self.sources = sources
        """The traceparent that each charge's event came with."""
        self.stored = stored
        """Charges that were stored, published or not."""


class Work:
    """What one transaction has to write."""

    def __init__(self) -> None:
        self.rows: list[bytes] = []
        self.refused: list[RefusedEvent] = []
        self.closed: list[ClosedPeriod] = []
        self.touched: set[Position] = set()


def rate_entries(
    memory: LaneMemory,
    batch: Accepted,
    start: int,
    entries: Sequence[Usage | Close],
    stretches: Iterator[Stretch],
    charges: ChargeStore,
    work: Work,
) -> Rated:
    """Rate entries of a batch (the first is its `start`th), in memory; `stretches` gives each event's.

    What is to be written is added to `work`; `charges` packs its rows.
    """
    batch_seq = batch.batch_seq
    rated = RatedBatch(
        lane=memory.lane,
        batch_seq=batch_seq,
        catalog_revision=memory.catalog_revision,
        orgs_revision=memory.orgs_revision,
    )
    came_from = expand(batch.traces, len(batch.entries)) if batch.traces else None
    sources: list[str] = []
    stored_before = len(work.rows)
    add_charge, add_row, touch, row = rated.charges.add, work.rows.append, work.touched.add, charges.row
    for index, entry in enumerate(entries, start):
        if isinstance(entry, Close):
            memory.close(entry.period, entry.org_id)
            work.closed.append(ClosedPeriod(entry.period, entry.org_id, batch_seq, entry.entry_seq))
            rated.period_closes.append(PeriodClose(period=entry.period, org_id=entry.org_id or b""))
            continue
        stretch = next(stretches)
        effective, position = stretch.effective, stretch.position
        if effective.refused is not None or stretch.closed:
            _refuse(entry, _why(stretch), rated, work)
            continue
        entry_seq, event_id, org_id, project_id, sku, quantity, event_time_us = entry
        before = position.quantity
        assert before is not None
        stepped = step(before, quantity, stretch.ladder)
        if isinstance(stepped, Refusal):
            _refuse(entry, _STEP_REFUSALS[stepped], rated, work)
            continue
        position.quantity, amount = stepped
        touch(position)
        if not stretch.stored:
            continue
        charge = charge_id(event_id, USAGE)
        add_row(
            row(
                stretch.constants,
                batch_seq,
                charge,
                event_id,
                project_id,
                quantity,
                before,
                amount,
                event_time_us,
                entry_seq,
            )
        )
        if not stretch.live:
            continue
        account, terms = effective.account, effective.terms
        assert account is not None
        assert terms is not None
        add_charge(
            charge_id=charge,
            event_id=event_id,
            org_id=org_id,
            project_id=project_id,
            billing_account_id=account.account_id,
            mapping_id=account.mapping_id,
            sku=sku,
            sku_type=terms.sku_type,
            quantity=pack_int(quantity),
            currency=terms.currency,
            amount=pack_int(amount),
            event_time_us=event_time_us,
            period=effective.period,
            entry_seq=entry_seq,
        )
        if came_from is not None:
            sources.append(came_from[index])
    return Rated(rated, sources, len(work.rows) - stored_before)


def refused_event(usage: Usage, batch_seq: int, reason: str, detail: str) -> RefusedEvent:
    """An event of the batch `pos` as it is refused."""
    entry_seq, event_id, org_id, _, sku, _, event_time_us = usage
    return RefusedEvent(event_id, entry_seq, org_id, sku, event_time_us, reason, detail, batch_seq)


def refusal_message(refused: RefusedEvent) -> RejectionMessage:
    """What the rated batch says of a refused event."""
    return RejectionMessage(
        event_id=refused.event_id,
        org_id=refused.org_id,
        entry_seq=refused.entry_seq,
        reason=refused.reason,
        detail=refused.detail,
    )


def _refuse(usage: Usage, why: tuple[str, str], rated: RatedBatch, work: Work) -> None:
    """Refuse an event for a reason, with its detail."""
    refused = refused_event(usage, rated.batch_seq, *why)
    work.refused.append(refused)
    rated.rejections.append(refusal_message(refused))


def _why(stretch: Stretch) -> tuple[str, str]:
    """Reason and detail of a refusal that the step has no part in."""
    refused = stretch.effective.refused
    if refused is not None:
        return refused.reason, refused.detail
    return PERIOD_CLOSED, f"The period {stretch.effective.period} is closed."
