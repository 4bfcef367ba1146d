"""Conflicts: two claims of which only one can hold the name (spec 01, conflict)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two claims of which one must give way: the newcomer's, and the one that was there first."""

    conflict_id: UUID
    claim_id: UUID
    against_claim_id: UUID
    state: str
    opened_at: datetime
    due_at: datetime
    escalated_at: datetime | None = None
    escalations: int = 0
    resolution: str = ""
    resolved_by: str = ""
    resolved_at: datetime | None = None

    def other(self, claim_id: UUID) -> UUID:
        """Return the claim on the other side of one of the two."""
        return self.against_claim_id if claim_id == self.claim_id else self.claim_id
