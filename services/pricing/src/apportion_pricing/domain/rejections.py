"""Why an event has no charge: the reasons of dead letters (spec 08 choice 8)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from apportion_common import topology


class RejectionReason(StrEnum):
    """The reasons for which pricing rejects an event."""

    UNKNOWN_ORG = topology.UNKNOWN_ORG
    UNKNOWN_SKU = topology.UNKNOWN_SKU
    NO_ENTITLEMENT = topology.NO_ENTITLEMENT
    PERIOD_CLOSED = topology.PERIOD_CLOSED
    CORRECTION_BELOW_ZERO = topology.CORRECTION_BELOW_ZERO
    CORRECTION_EXCEEDS_CHARGED = topology.CORRECTION_EXCEEDS_CHARGED
    PROCESSING_FAILED = topology.PROCESSING_FAILED


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an event has no charge, and what is to be said of it."""

    reason: RejectionReason
    detail: str


CORRECTION_BELOW_ZERO: Final = Rejection(
    RejectionReason.CORRECTION_BELOW_ZERO, "The correction is larger than what the period has used so far."
)
AMOUNT_OUT_OF_RANGE: Final = Rejection(RejectionReason.PROCESSING_FAILED, "The amount has more than 18 integer digits.")
POSITION_OUT_OF_RANGE: Final = Rejection(
    RejectionReason.PROCESSING_FAILED, "The period's usage has more than 29 integer digits."
)
