"""Layouts of the packed records in the lanes' messages, as the contracts document them (`lane.proto` of each package).

All are big-endian and without gaps, so a record's size is that of its layout. Numbers are scaled by 9 places; one that
needs more than 64 bits has its entry or charge travel as a message instead.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, Protocol

INTAKE_RECORD: Final = Struct(">HB32sqq")
"""metering.v1.IntakeMessage: group, length of the request id, content hash, quantity, event time in microseconds."""
USAGE_RECORD: Final = Struct(">H16sqq")
"""metering.v1.AcceptedBatch: group, event id, quantity, event time in microseconds."""
CHARGE_RECORD: Final = Struct(">HI16s16sqqq")
"""pricing.v1.RatedBatch: group, entry_seq after the first, charge id, cause id, quantity, amount, event time in
microseconds.
"""
INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
"""What a record's number can hold."""
GROUPS_MAX: Final = 2**16
"""Groups that a record's group index can tell apart."""
UNREADABLE_BATCH_SEQ: Final = 2**63 - 1
"""A batch number that never comes next, so that the lane stops there and says so.

A batch that cannot be read has it; one in records or parts says it where readers from before these look for its number.
"""


class NumberedBatch(Protocol):
    """A message of a batch, with both places for its number."""

    batch_seq: int
    packed_batch_seq: int


def set_packed_batch_seq(batch: NumberedBatch, batch_seq: int) -> None:
    """Number a message that a reader from before records and parts must not take for another one."""
    batch.batch_seq = UNREADABLE_BATCH_SEQ
    batch.packed_batch_seq = batch_seq


def batch_seq_of(batch: NumberedBatch) -> int:
    """Return the number of a message's batch, whatever form it is in."""
    return batch.packed_batch_seq or batch.batch_seq
