"""The service's audit entries in its database."""

from __future__ import annotations

from apportion.common.v1.audit_pb2 import AuditEntry, AuditQuery
from apportion_common.db.audit_query import list_audit
from apportion_common.db.unit_of_work import Database

from apportion_orgs.store.tables import shared


class StoredAuditTrail:
    """Reads audit_entry."""

    def __init__(self, database: Database) -> None:
        """Read through `database`."""
        self._database = database

    async def page(self, query: AuditQuery) -> tuple[list[AuditEntry], str]:
        """Entries, newest first, and the token of the next page (empty after the last)."""
        async with self._database.read() as connection:
            return await list_audit(connection, shared, query)
