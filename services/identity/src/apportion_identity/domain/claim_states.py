"""How a claim's status may change (spec 01, transitions); the database rejects the rest too."""

from __future__ import annotations

from enum import Enum
from typing import Final

from apportion_common.errors import FailedPrecondition


class ClaimStatus(Enum):
    """The states of a claim, by the words that the database keeps."""

    PENDING = "pending"
    VERIFIED = "verified"
    REVOKED = "revoked"
    PENDING_CONFLICT = "pending_conflict"


TRANSITIONS: Final = frozenset(
    {
        (ClaimStatus.PENDING, ClaimStatus.VERIFIED),
        (ClaimStatus.PENDING, ClaimStatus.REVOKED),
        (ClaimStatus.PENDING, ClaimStatus.PENDING_CONFLICT),
        (ClaimStatus.PENDING_CONFLICT, ClaimStatus.VERIFIED),
        (ClaimStatus.PENDING_CONFLICT, ClaimStatus.REVOKED),
        (ClaimStatus.VERIFIED, ClaimStatus.REVOKED),
    }
)
"""Nothing leaves `revoked`, and nothing goes back to `pending`."""

UNPROVEN: Final = frozenset({ClaimStatus.PENDING, ClaimStatus.PENDING_CONFLICT})
"""A mail may still prove these."""


def check_transition(before: ClaimStatus, after: ClaimStatus) -> None:
    """Raise FailedPrecondition CLAIM_TRANSITION for a change that is not in the table."""
    if (before, after) not in TRANSITIONS:
        raise FailedPrecondition(
            "CLAIM_TRANSITION", f"A claim does not go from {before.value} to {after.value}.", status=before.value
        )
