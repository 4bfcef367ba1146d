"""What is stored and shown, and no rule decides by."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from apportion_pricing.domain.engine_mode import EngineMode

ChargeCursor = tuple[int, int, str, int]
"""Lane, entry_seq, kind and ordinal: a charge in the order of rating."""


@dataclass(frozen=True, slots=True)
class SkuRecord:
    """A capability of the catalog."""

    sku: str
    sku_type: str
    unit: str


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """A plan; the base price is scaled by 9 places."""

    plan_id: bytes
    name: str
    currency: str
    base_price: int


@dataclass(frozen=True, slots=True)
class AssignmentRecord:
    """The plan that an organisation has from an instant on, as it was assigned under a revision."""

    org_id: UUID
    plan_id: UUID
    effective_at_us: int
    notes: str
    revision: int


@dataclass(frozen=True, slots=True)
class EngineModeRecord:
    """A mode as it was set, for one organisation or (None) as the default."""

    org_id: UUID | None
    mode: EngineMode
    override_reason: str
    revision: int
    set_at_us: int


@dataclass(frozen=True, slots=True)
class ChargeRecord:
    """A stored charge; quantities and the amount are scaled by 9 places.

    It comes of an event, or else of what `cause_id` names: then `ordinal` numbers those of one entry and kind from 0.
    """

    charge_id: bytes
    event_id: bytes | None
    cause_id: bytes | None
    org_id: bytes
    project_id: bytes | None
    billing_account_id: bytes
    sku: str
    kind: str
    mode: str
    quantity: int
    quantity_before: int
    currency: str
    amount: int
    event_time_us: int
    period: str
    billed_period: str
    """The later period that bills it; empty where its own does."""
    lane: int
    batch_seq: int
    entry_seq: int
    ordinal: int
    catalog_revision: int
    orgs_revision: int

    @property
    def cursor(self) -> ChargeCursor:
        """Where it stands in the order of rating."""
        return self.lane, self.entry_seq, self.kind, self.ordinal
