"""Partners, and who is credited for whose spend, as they are kept."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from apportion_ledger.domain.attribution import MatchKind, PorSubject


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


@dataclass(frozen=True, slots=True)
class PartnerTier:
    """The tier that a partner has from an instant on, as it was set under a revision."""

    partner_id: UUID
    tier: str
    effective_at_us: int
    revision: int


@dataclass(frozen=True, slots=True)
class RateOfTier:
    """What a tier gets from an instant on, as it was set; `pct` is scaled by 4 places."""

    rate_id: UUID
    tier: str
    match_kind: MatchKind
    match_value: str
    pct: int
    effective_at_us: int
    revision: int


@dataclass(frozen=True, slots=True)
class RateQuery:
    """Which rates are asked for; None and empty texts select all."""

    tier: str
    match_kind: MatchKind | None
    match_value: str
