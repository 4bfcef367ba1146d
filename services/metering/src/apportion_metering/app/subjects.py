"""The subjects of metering's lanes."""

from __future__ import annotations

from typing import Final

INTAKE: Final = "metering.in"
ACCEPTED: Final = "metering.accepted"
RATED: Final = "pricing.rated"
POSTED: Final = "ledger.posted"


def intake_subject(lane: int) -> str:
    """Where a lane's intake messages are published."""
    return f"{INTAKE}.{lane}"
