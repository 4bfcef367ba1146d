"""Lists and sums of lines."""

from __future__ import annotations

from uuid import UUID

from apportion_common.db.unit_of_work import Database

from apportion_ledger import errors
from apportion_ledger.app.ports import LineQuery, LineReader, LineSum, StoredLine, SummaryQuery
from apportion_ledger.limits import PAGE_SIZE_DEFAULT, SUMMARY_KEYS_MAX


class Lines:
    """Reads lines."""

    def __init__(self, database: Database, reader: LineReader) -> None:
        self._database = database
        self._reader = reader

    async def page(self, query: LineQuery, page_size: int, after: UUID | None) -> tuple[list[StoredLine], UUID | None]:
        """A page of lines by entry id, and the place of the next one (None after the last). Size 0 is the default."""
        size = page_size or PAGE_SIZE_DEFAULT
        async with self._database.read() as connection:
            lines = await self._reader.page(connection, query, after, size + 1)
        return lines[:size], lines[size - 1].entry_id if len(lines) > size else None

    async def summary(self, query: SummaryQuery) -> list[LineSum]:
        """An account's lines for an invoice, summed. Raises ResourceExhausted TOO_MANY_LINES."""
        async with self._database.read() as connection:
            sums = await self._reader.summary(connection, query, SUMMARY_KEYS_MAX + 1)
        if len(sums) > SUMMARY_KEYS_MAX:
            raise errors.too_many_lines(SUMMARY_KEYS_MAX)
        return sums
