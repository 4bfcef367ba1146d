"""Rated batches as the poster takes them: plain tuples, made once from the message or its parts."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from apportion.common.v1.lane_pb2 import ChargeKind, PeriodClose, TraceRange
from apportion.pricing.v1 import lane_pb2
from apportion_common.lanes.records import CHARGE_RECORD, UNREADABLE_BATCH_SEQ, batch_seq_of
from google.protobuf.message import DecodeError

from apportion_ledger.domain.charges import Charge, ChargeBatch, ChargeGroup, Origin

_KINDS: Final = {number: name.removeprefix("CHARGE_KIND_").lower() for name, number in ChargeKind.items()} | {
    ChargeKind.CHARGE_KIND_UNSPECIFIED: "usage"
}
"""The kinds of charges by their number in the contract; messages from before kinds were written are usage."""


class Rated(NamedTuple):
    """One rated batch, or a part of one, in the order of its charges."""

    batch: ChargeBatch
    period_closes: Sequence[PeriodClose]
    traces: Sequence[TraceRange]
    part: int = 0
    part_count: int = 1

    @property
    def batch_seq(self) -> int:
        """The batch's number on its lane."""
        return self.batch.origin.batch_seq or 0


def decode_rated(data: bytes) -> Rated:
    """Return the batch of a message of pricing's; one that cannot be read has UNREADABLE_BATCH_SEQ and no charges."""
    try:
        message = lane_pb2.RatedBatch.FromString(data)
        charges = _records(message) if message.records else []
        for charge in message.charges:
            charges.insert(charge.index if message.records else len(charges), _charge(charge))
    except (DecodeError, struct.error, IndexError, KeyError):
        return Rated(ChargeBatch(Origin(None, UNREADABLE_BATCH_SEQ, 0, 0), ()), (), ())
    origin = Origin(message.lane, batch_seq_of(message), message.catalog_revision, message.orgs_revision)
    return Rated(
        ChargeBatch(origin, charges), message.period_closes, message.traces, message.part, message.part_count or 1
    )


def join_rated(parts: Sequence[Rated]) -> Rated:
    """Return one batch of its parts, which come in their order."""
    return Rated(
        ChargeBatch(parts[0].batch.origin, [charge for part in parts for charge in part.batch.charges]),
        [close for part in parts for close in part.period_closes],
        [trace for part in parts for trace in part.traces],
    )


def _records(message: lane_pb2.RatedBatch) -> list[Charge]:
    """Return the charges of the records. Raises KeyError, IndexError or struct.error for records that are none."""
    groups = [(_group(group), group.caused_by_events) for group in message.groups]
    first = message.first_entry_seq
    # A NamedTuple's own constructor costs three times as much.
    new_tuple = tuple.__new__
    charges: list[Charge] = []
    append = charges.append
    for index, offset, charge_id, cause_id, quantity, gross, at_us in CHARGE_RECORD.iter_unpack(message.records):
        group, caused_by_event = groups[index]
        event_id = cause_id if caused_by_event else b""
        append(new_tuple(Charge, (charge_id, event_id, cause_id, group, quantity, gross, at_us, first + offset)))
    return charges


def _charge(charge: lane_pb2.RatedCharge) -> Charge:
    """Return a charge that came as a message."""
    return Charge(
        charge.charge_id,
        charge.event_id,
        charge.cause_id or charge.event_id,
        _group(charge),
        int.from_bytes(charge.quantity, "big", signed=True),
        int.from_bytes(charge.amount, "big", signed=True),
        charge.event_time_us,
        charge.entry_seq,
    )


def _group(group: lane_pb2.ChargeGroup | lane_pb2.RatedCharge) -> ChargeGroup:
    return ChargeGroup(
        _KINDS[group.kind],
        group.org_id,
        group.project_id,
        group.billing_account_id,
        group.mapping_id,
        group.sku,
        group.sku_type,
        group.currency,
        group.period,
        group.billed_period,
    )
