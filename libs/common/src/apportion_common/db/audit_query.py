"""ListAudit, the same in every service: newest first, page by page."""

from __future__ import annotations

from typing import Any, Final

from apportion.common.v1.audit_pb2 import AuditEntry, AuditQuery
from sqlalchemy import Row, select, tuple_

from apportion_common.db.tables import SharedTables
from apportion_common.db.unit_of_work import Database
from apportion_common.errors import InvalidArgument
from apportion_common.fields import optional_id, text_of
from apportion_common.pages import page_size, read_token, split_page, time_cursor

AUDIT_PAGE_ENTRIES_MAX: Final = 1_000


class AuditTrail:
    """A service's audit entries, read from its database."""

    def __init__(self, database: Database, tables: SharedTables) -> None:
        """Read the service's own tables through `database`."""
        self._database = database
        self._tables = tables

    async def page(self, query: AuditQuery) -> tuple[list[AuditEntry], str]:
        """Return entries, newest first, and the token of the next page (empty after the last).

        Who may see which organisation's entries is the caller's to check. InvalidArgument ID_MALFORMED,
        PAGE_SIZE_INVALID, PAGE_TOKEN_MALFORMED.
        """
        if not 0 <= query.page_size <= AUDIT_PAGE_ENTRIES_MAX:
            raise InvalidArgument(
                "PAGE_SIZE_INVALID", f"A page has 1 to {AUDIT_PAGE_ENTRIES_MAX} entries.", field="page_size"
            )
        size = page_size(query.page_size)
        entry = self._tables.audit_entry
        statement = select(entry).order_by(entry.c.at.desc(), entry.c.audit_id.desc()).limit(size + 1)
        org_id, after = optional_id(query.org_id, "org_id"), read_token(query.page_token, time_cursor)
        if org_id is not None:
            statement = statement.where(entry.c.org_id == org_id)
        if query.resource:
            statement = statement.where(entry.c.resource == query.resource)
        if after is not None:
            statement = statement.where(tuple_(entry.c.at, entry.c.audit_id) < tuple_(*after))
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        page, token = split_page(rows, size, lambda row: (row.at, row.audit_id))
        return [_entry(row) for row in page], token


def _entry(row: Row[Any]) -> AuditEntry:
    entry = AuditEntry(
        audit_id=str(row.audit_id),
        actor=row.actor,
        acting_for=row.acting_for or "",
        org_id=text_of(row.org_id),
        action=row.action,
        resource=row.resource,
        request_id=row.request_id or "",
        trace_id=row.trace_id or "",
    )
    entry.at.FromDatetime(row.at)
    if row.before is not None:
        entry.before.update(row.before)
    if row.after is not None:
        entry.after.update(row.after)
    return entry
