"""Rated batches as they are published: charges packed into records, and a batch too large for a message in parts."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from apportion.common.v1.lane_pb2 import ChargeKind, PeriodClose, TraceRange
from apportion.pricing.v1.lane_pb2 import ChargeGroup, RatedBatch, RatedCharge, Rejection
from apportion_common.lanes.limits import OUTPUT_PART_BYTES_MAX
from apportion_common.lanes.model import LaneOutput
from apportion_common.lanes.records import CHARGE_RECORD, GROUPS_MAX, INT64_MAX, INT64_MIN, set_packed_batch_seq
from apportion_common.protos import pack_int

from apportion_pricing.app.lane_memory import LaneSegment

GroupKey = tuple[LaneSegment, bytes]
"""A segment and a project (or no bytes): what a group of charges has in common."""
Charge = tuple[GroupKey, int, bytes, bytes, int, int, int]
"""Group, entry_seq, charge id, event id, quantity and amount scaled by 9 places, event time in microseconds."""

_ENVELOPE_BYTES: Final = 128
"""Kept free in every part for its numbers."""
_FRAME_BYTES: Final = 8
"""Most bytes that frame one element of a repeated field."""


class Rated:
    """What some entries of one accepted batch came to."""

    def __init__(self, lane: int, batch_seq: int, catalog_revision: int, orgs_revision: int) -> None:
        self.lane = lane
        self.batch_seq = batch_seq
        self.catalog_revision = catalog_revision
        self.orgs_revision = orgs_revision
        self.charges: list[Charge] = []
        self.sources: list[str] = []
        """The traceparent that each charge's event came with; empty where none came with any."""
        self.rejections: list[Rejection] = []
        self.period_closes: list[PeriodClose] = []
        self.stored = 0
        """Charges that were stored, published or not."""

    def add(self, other: Rated) -> None:
        """Add what later entries of the same batch came to."""
        self.charges += other.charges
        self.sources += other.sources
        self.rejections += other.rejections
        self.period_closes += other.period_closes
        self.stored += other.stored


def rated_to_outputs(
    rated: Rated, entry_count: int, traces: Sequence[TraceRange], *, packed: bool = True
) -> list[LaneOutput]:
    """Return the batch's messages: one, or as many parts as it needs to have at most OUTPUT_PART_BYTES_MAX in each.

    Unless `packed`, charges are messages and the batch is one, as readers from before records take them, as long as it
    is not too large for that.
    """
    if len(rated.charges) * CHARGE_RECORD.size < OUTPUT_PART_BYTES_MAX:
        whole = _part(rated, entry_count, rated.charges, packed)
        whole.rejections.extend(rated.rejections)
        whole.period_closes.extend(rated.period_closes)
        whole.traces.extend(traces)
        if packed:
            set_packed_batch_seq(whole, rated.batch_seq)
        payload = whole.SerializeToString()
        if len(payload) <= OUTPUT_PART_BYTES_MAX:
            return [LaneOutput(rated.batch_seq, payload)]
    parts = [_part(rated, entry_count, charges, packed=True) for charges in _divided(rated.charges)]
    for rejection in rated.rejections:
        _roomy(parts, rated, entry_count, rejection.ByteSize()).rejections.append(rejection)
    for close in rated.period_closes:
        _roomy(parts, rated, entry_count, close.ByteSize()).period_closes.append(close)
    for trace in traces:
        _roomy(parts, rated, entry_count, trace.ByteSize()).traces.append(trace)
    outputs = []
    for number, part in enumerate(parts):
        part.part, part.part_count = number, len(parts)
        set_packed_batch_seq(part, rated.batch_seq)
        outputs.append(LaneOutput(rated.batch_seq, part.SerializeToString(), number, len(parts)))
    return outputs


def _part(rated: Rated, entry_count: int, charges: Sequence[Charge], packed: bool) -> RatedBatch:
    """Return a message that holds these charges and nothing else yet; in records where they fit and it is `packed`."""
    message = RatedBatch(
        lane=rated.lane,
        batch_seq=rated.batch_seq,
        catalog_revision=rated.catalog_revision,
        orgs_revision=rated.orgs_revision,
        entry_count=entry_count,
    )
    if not packed:
        message.charges.extend(map(_charge_to_message, charges))
    elif charges:
        first = charges[0][1]
        groups: dict[GroupKey, int] = {}
        pack, group_of = CHARGE_RECORD.pack, groups.setdefault
        message.first_entry_seq = first
        try:
            message.records = b"".join(
                [
                    pack(group_of(key, len(groups)), entry_seq - first, charge_id, event_id, quantity, amount, at_us)
                    for key, entry_seq, charge_id, event_id, quantity, amount, at_us in charges
                ]
            )
        except struct.error:
            groups = _fill_mixed(message, charges)
        message.groups.extend(map(_group_to_message, groups))
    return message


def _fill_mixed(message: RatedBatch, charges: Sequence[Charge]) -> dict[GroupKey, int]:
    """Fill in charges of which some do not fit into records; return the groups of the records."""
    groups: dict[GroupKey, int] = {}
    records = []
    for index, charge in enumerate(charges):
        key, entry_seq, charge_id, event_id, quantity, amount, at_us = charge
        if _is_wide(charge):
            wide = _charge_to_message(charge)
            wide.index = index
            message.charges.append(wide)
            continue
        group, offset = groups.setdefault(key, len(groups)), entry_seq - message.first_entry_seq
        records.append(CHARGE_RECORD.pack(group, offset, charge_id, event_id, quantity, amount, at_us))
    message.records = b"".join(records)
    return groups


def _divided(charges: Sequence[Charge]) -> list[Sequence[Charge]]:
    """Return the charges in runs of which each fits into a part; at least one run."""
    runs: list[Sequence[Charge]] = []
    start, size, groups = 0, _ENVELOPE_BYTES, set[GroupKey]()
    for index, charge in enumerate(charges):
        cost = _charge_to_message(charge).ByteSize() + _FRAME_BYTES if _is_wide(charge) else CHARGE_RECORD.size
        group_cost = _group_to_message(charge[0]).ByteSize() + _FRAME_BYTES
        added = cost if charge[0] in groups else cost + group_cost
        if size + added > OUTPUT_PART_BYTES_MAX or len(groups) == GROUPS_MAX:
            runs.append(charges[start:index])
            start, size, added = index, _ENVELOPE_BYTES, cost + group_cost
            groups.clear()
        size += added
        groups.add(charge[0])
    return [*runs, charges[start:]]


def _roomy(parts: list[RatedBatch], rated: Rated, entry_count: int, size_bytes: int) -> RatedBatch:
    """Return the last part, or a new one where that has no room for an element of this size."""
    if parts[-1].ByteSize() + size_bytes + _ENVELOPE_BYTES > OUTPUT_PART_BYTES_MAX:
        parts.append(_part(rated, entry_count, (), packed=True))
    return parts[-1]


def _is_wide(charge: Charge) -> bool:
    """Return whether a charge has a number that no record can hold."""
    return not (INT64_MIN <= charge[4] <= INT64_MAX and INT64_MIN <= charge[5] <= INT64_MAX)


def _group_to_message(key: GroupKey) -> ChargeGroup:
    segment, project_id = key
    account, terms = segment.account, segment.terms
    return ChargeGroup(
        kind=ChargeKind.CHARGE_KIND_USAGE,
        org_id=segment.position.key[0],
        project_id=project_id,
        billing_account_id=account.account_id,
        mapping_id=account.mapping_id,
        sku=segment.position.key[1],
        sku_type=terms.sku_type,
        currency=terms.currency,
        period=segment.period,
        billed_period=segment.billed_period,
        caused_by_events=True,
    )


def _charge_to_message(charge: Charge) -> RatedCharge:
    key, entry_seq, charge_id, event_id, quantity, amount, at_us = charge
    group = _group_to_message(key)
    return RatedCharge(
        charge_id=charge_id,
        event_id=event_id,
        org_id=group.org_id,
        project_id=group.project_id,
        billing_account_id=group.billing_account_id,
        mapping_id=group.mapping_id,
        sku=group.sku,
        sku_type=group.sku_type,
        quantity=pack_int(quantity),
        currency=group.currency,
        amount=pack_int(amount),
        event_time_us=at_us,
        period=group.period,
        billed_period=group.billed_period,
        entry_seq=entry_seq,
        kind=group.kind,
        cause_id=event_id,
    )
