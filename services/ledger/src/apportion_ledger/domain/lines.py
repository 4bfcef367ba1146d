"""Lines as they are read: which ones are wanted, and what is said of them.

Amounts and quantities are ints scaled by 9 places, percentages by 4, times microseconds since 1970 UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from apportion_common.periods import Period


class LineQuery(NamedTuple):
    """Which lines to list; None selects all."""

    org_id: UUID | None = None
    project_id: UUID | None = None
    sku: str | None = None
    partner_id: UUID | None = None
    billing_account_id: UUID | None = None
    event_id: UUID | None = None
    from_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True)
class StoredLine:
    """A line as it is read; it comes of an event, or else of what `cause_id` names."""

    entry_id: UUID
    charge_id: UUID
    event_id: UUID | None
    cause_id: UUID | None
    kind: str
    org_id: UUID
    project_id: UUID | None
    billing_account_id: UUID
    sku: str
    quantity: int
    currency: str
    gross: int
    partner_id: UUID | None
    partner_from_account: bool
    pct: int
    share: int
    net: int
    event_time_us: int
    period: str
    billed_period: str
    """The later period that bills it; empty where its own does."""
    posted_at_us: int
    real_time_paid: int
    lane: int
    batch_seq: int
    entry_seq: int


class DigestScope(NamedTuple):
    """Which lines a digest covers; None selects all."""

    org_id: UUID | None = None
    billing_account_id: UUID | None = None
    period: str | None = None


class GrossSum(NamedTuple):
    """The coarse digest's row."""

    org_id: UUID
    sku: str
    period: str
    currency: str
    line_count: int
    quantity: int
    gross: int


class HeldLines(NamedTuple):
    """What invoices hold of an account: its lines below a watermark that are billed in a period or an earlier one."""

    through_period: str
    watermark: int


class SummaryQuery(NamedTuple):
    """Lines of an account below a watermark, billed in a period or an earlier one, without those that are held."""

    billing_account_id: UUID
    watermark: int
    period: Period
    held: tuple[HeldLines, ...]


class LineSum(NamedTuple):
    """What an invoice is made of: lines of one key, summed."""

    org_id: UUID
    project_id: UUID | None
    sku: str
    kind: str
    currency: str
    partner_id: UUID | None
    partner_from_account: bool
    mapping_id: UUID
    period: str
    billed_period: str | None
    line_count: int
    quantity: int
    gross: int
    share: int
