"""Lists and sums of lines."""

from __future__ import annotations

from collections.abc import Sequence

from apportion_common.db.unit_of_work import Database
from apportion_common.ids import parse_uuid
from apportion_common.pages import page_size, read_token, split_page

from apportion_ledger import errors
from apportion_ledger.domain.lines import LineQuery, LineSum, StoredLine, SummaryQuery
from apportion_ledger.limits import SUMMARY_KEYS_MAX
from apportion_ledger.store.posted_lines import PostedLineStore
from apportion_ledger.store.terms import TermsStore


class Lines:
    """Reads lines."""

    def __init__(self, database: Database, lines: PostedLineStore, terms: TermsStore) -> None:
        self._database = database
        self._lines = lines
        self._terms = terms

    async def page(self, query: LineQuery, size: int, token: str) -> tuple[Sequence[StoredLine], str]:
        """Return a page of lines by entry id, and the token of the next one (empty after the last).

        Size 0 is the default. Raises InvalidArgument PAGE_TOKEN_MALFORMED, NotFound PARTNER_NOT_FOUND.
        """
        size, after = page_size(size), read_token(token, parse_uuid)
        async with self._database.read(snapshot=True) as connection:
            if query.partner_id is not None and await self._terms.partner(connection, query.partner_id) is None:
                raise errors.partner_not_found(query.partner_id)
            found = await self._lines.page(connection, query, after, size + 1)
        return split_page(found, size, lambda line: (line.entry_id,))

    async def summary(self, query: SummaryQuery) -> Sequence[LineSum]:
        """Return an account's lines for an invoice, summed. Raises ResourceExhausted TOO_MANY_LINES.

        All is read before the first page is sent, so that a slow receiver holds no connection.
        """
        async with self._database.read() as connection:
            sums = await self._lines.summary(connection, query, SUMMARY_KEYS_MAX + 1)
        if len(sums) > SUMMARY_KEYS_MAX:
            raise errors.too_many_lines(SUMMARY_KEYS_MAX)
        return sums
