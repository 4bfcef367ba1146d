"""The terms that lines are decided under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from apportion_ledger.domain.attribution import AttributionIndex


@dataclass(frozen=True, slots=True)
class PayoutTerms:
    """What of a partner decides about its payouts."""

    payout_currency: str
    held: bool


@dataclass(frozen=True, slots=True)
class CommissionTerms:
    """Everything that lines are decided under, at one revision; partners by their 16 bytes."""

    revision: int
    attribution: AttributionIndex
    partners: Mapping[bytes, PayoutTerms]
