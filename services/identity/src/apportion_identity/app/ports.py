"""What the use cases need of the world."""

from __future__ import annotations

from typing import Protocol

from apportion.common.v1.audit_pb2 import AuditEntry, AuditQuery


class KeySetSource(Protocol):
    """Where the key set is kept."""

    async def read(self) -> str:
        """The key set as JSON text, as it is now. Unavailable KEY_SET_UNUSABLE when it cannot be read."""
        ...


class AuditTrail(Protocol):
    """The service's audit entries."""

    async def page(self, query: AuditQuery) -> tuple[list[AuditEntry], str]:
        """Entries, newest first, and the token of the next page (empty after the last)."""
        ...
