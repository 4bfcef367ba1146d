"""Partners, and who is credited for whose spend, as they are kept."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from apportion_ledger.domain.attribution import PorSubject


@dataclass(frozen=True, slots=True)
class Partner:
    """A partner in its current state."""

    partner_id: UUID
    name: str
    payout_currency: str


@dataclass(frozen=True, slots=True)
class PartnerOfRecord:
    """An assignment in its current state; `end_at_us` None is open."""

    por_id: UUID
    subject_kind: PorSubject
    subject_id: UUID
    partner_id: UUID
    start_at_us: int
    end_at_us: int | None
