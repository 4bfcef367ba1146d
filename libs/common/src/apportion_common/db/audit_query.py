"""ListAudit, the same in every service: newest first, page by page."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from apportion.common.v1.audit_pb2 import AuditEntry, AuditQuery
from sqlalchemy import Row, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_common.db.tables import SharedTables
from apportion_common.db.unit_of_work import Database
from apportion_common.errors import InvalidArgument
from apportion_common.ids import parse_uuid

DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 1_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


async def list_audit(
    connection: AsyncConnection, tables: SharedTables, query: AuditQuery
) -> tuple[list[AuditEntry], str]:
    """A page of audit entries, newest first, and the token of the next page (empty after the last).

    Who may see which organisation's entries is the caller's to check. InvalidArgument ID_MALFORMED,
    PAGE_SIZE_INVALID, PAGE_TOKEN_MALFORMED.
    """
    if not 0 <= query.page_size <= MAX_PAGE_SIZE:
        raise InvalidArgument("PAGE_SIZE_INVALID", f"A page has 1 to {MAX_PAGE_SIZE} entries.", field="page_size")
    size = query.page_size or DEFAULT_PAGE_SIZE
    entry = tables.audit_entry
    statement = select(entry).order_by(entry.c.at.desc(), entry.c.audit_id.desc()).limit(size + 1)
    if query.org_id:
        statement = statement.where(entry.c.org_id == parse_uuid(query.org_id))
    if query.resource:
        statement = statement.where(entry.c.resource == query.resource)
    if query.page_token:
        statement = statement.where(tuple_(entry.c.at, entry.c.audit_id) < tuple_(*_read_token(query.page_token)))
    rows = (await connection.execute(statement)).all()
    more = len(rows) > size
    return [_entry(row) for row in rows[:size]], _token(rows[size - 1]) if more else ""


def _entry(row: Row[Any]) -> AuditEntry:
    entry = AuditEntry(
        audit_id=str(row.audit_id),
        actor=row.actor,
        acting_for=row.acting_for or "",
        org_id=str(row.org_id or ""),
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


def _token(row: Row[Any]) -> str:
    """The place of an entry: microseconds and id, in the alphabet of URLs."""
    at_us = (row.at.astimezone(UTC) - _EPOCH) // _MICROSECOND
    return base64.urlsafe_b64encode(at_us.to_bytes(8, "big") + row.audit_id.bytes).decode()


def _read_token(token: str) -> tuple[datetime, UUID]:
    try:
        raw = base64.urlsafe_b64decode(token.encode("ascii"))
        if len(raw) != 24:
            raise ValueError
        return _EPOCH + int.from_bytes(raw[:8], "big") * _MICROSECOND, UUID(bytes=raw[8:])
    except (ValueError, OverflowError, binascii.Error) as error:
        raise InvalidArgument(
            "PAGE_TOKEN_MALFORMED", "The page token is not one that this service gave.", field="page_token"
        ) from error


class AuditTrail:
    """A service's audit entries, read from its database."""

    def __init__(self, database: Database, tables: SharedTables) -> None:
        """Read the service's own tables through `database`."""
        self._database = database
        self._tables = tables

    async def page(self, query: AuditQuery) -> tuple[list[AuditEntry], str]:
        """Entries, newest first, and the token of the next page (empty after the last); errors as in `list_audit`."""
        async with self._database.read() as connection:
            return await list_audit(connection, self._tables, query)
