"""What every subject needs: counted tries, a place in a list, and the audit entries."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from apportion.common.v1.audit_pb2 import AuditEntry, AuditQuery

Place = tuple[datetime, UUID]
"""Where the next page of a list goes on: time and id of the last row."""


class RateLimiter(Protocol):
    """Tries of one kind, counted per key."""

    def take(self, key: str, *, reason: str) -> None:
        """Take one try of `key`. Raises ResourceExhausted `reason` when none is left."""
        ...


class AuditTrail(Protocol):
    """The service's audit entries."""

    async def page(self, query: AuditQuery) -> tuple[list[AuditEntry], str]:
        """Entries, newest first, and the token of the next page (empty after the last)."""
        ...
