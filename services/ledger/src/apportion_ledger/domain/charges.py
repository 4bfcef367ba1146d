"""Charges as they come, and the lines they become.

Ids are 16 bytes, amounts and quantities ints scaled by 9 places, percentages by 4, times microseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from apportion_ledger.domain.attribution import Attribution


@dataclass(frozen=True, slots=True, eq=False)
class ChargeGroup:
    """What charges have in common, made once for all of them; the same object says that it is the same.

    `kind` is one of LINE_KINDS, `project_id` is empty for none.
    """

    kind: str
    org_id: bytes
    project_id: bytes
    account_id: bytes
    mapping_id: bytes
    sku: str
    sku_type: str
    currency: str
    period: str
    billed_period: str = ""
    """The later period that bills it, where its own was closed when it came; empty where its own does."""


class Charge(NamedTuple):
    """A charge to be written as a line; `entry_seq` is None outside the lanes."""

    charge_id: bytes
    event_id: bytes
    """The event that is charged for; empty where it is none."""
    cause_id: bytes
    """What caused the charge: its event, where there is one."""
    group: ChargeGroup
    quantity: int
    gross: int
    event_time_us: int
    entry_seq: int | None


class Origin(NamedTuple):
    """Where charges come from: batch and revisions of the lane, or (lane None) a caller of AppendCharges."""

    lane: int | None
    batch_seq: int | None
    catalog_revision: int
    orgs_revision: int


class ChargeBatch(NamedTuple):
    """Charges of one origin, in their order."""

    origin: Origin
    charges: Sequence[Charge]


class Line(NamedTuple):
    """A line to be written: a charge with its split and the hash of its content."""

    entry_id: bytes
    charge: Charge
    charge_hash: bytes
    found: Attribution
    share: int
    net: int
    content_hash: bytes


class LineRows(NamedTuple):
    """The lines of one origin."""

    origin: Origin
    lines: Sequence[Line]
