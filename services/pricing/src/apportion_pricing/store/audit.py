"""The service's audit entries, read back."""

from __future__ import annotations

from apportion.common.v1.audit_pb2 import AuditEntry, AuditQuery
from apportion_common.db.audit_query import list_audit
from apportion_common.db.unit_of_work import Database

from apportion_pricing.store.tables import shared


class StoredAuditTrail:
    """The table audit_entry."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, query: AuditQuery) -> tuple[list[AuditEntry], str]:
        """A page of entries, newest first, and the token of the next one. InvalidArgument PAGE_TOKEN_MALFORMED."""
        async with self._database.read() as connection:
            return await list_audit(connection, shared, query)
