"""What a partner earned, was paid and is owed; the trial balance (spec 02 rule 9)."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple
from uuid import UUID

from apportion_common.db.unit_of_work import Database

from apportion_ledger import errors
from apportion_ledger.app.ports import CurrencyTotals, Partner, StatementReader, TermsStore, TrialRow


class CurrencyStatement(NamedTuple):
    """Sums of one currency, with what they leave."""

    totals: CurrencyTotals
    closing: int
    payable: bool


class Statement(NamedTuple):
    """A partner's statement."""

    partner: Partner
    currencies: list[CurrencyStatement]


class Statements:
    """Reads statements and the trial balance."""

    def __init__(self, database: Database, terms: TermsStore, reader: StatementReader) -> None:
        self._database = database
        self._terms = terms
        self._reader = reader

    async def of_partner(self, partner_id: UUID, period: str) -> Statement:
        """The statement of a calendar month (`2013-01`, by the lines' event time, UTC), or of all time when empty.

        A sweep counts on the last day of its week. Raises NotFound PARTNER_NOT_FOUND.
        """
        first, after = month_of(period) if period else (None, None)
        async with self._database.read(snapshot=True) as connection:
            partner = await self._terms.partner(connection, partner_id)
            if partner is None:
                raise errors.partner_not_found(partner_id)
            totals = await self._reader.totals(connection, partner_id, first, after)
        return Statement(partner, [_closed(partner, of_currency) for of_currency in totals])

    async def trial_balance(self) -> tuple[list[TrialRow], bool]:
        """All postings per account and currency, and whether each currency sums to zero."""
        async with self._database.read(snapshot=True) as connection:
            rows = await self._reader.trial_balance(connection)
        sums: dict[str, int] = {}
        for row in rows:
            sums[row.currency] = sums.get(row.currency, 0) + row.debit - row.credit
        return rows, not any(sums.values())


def month_of(period: str) -> tuple[date, date]:
    """First day of a period `YYYY-MM` and of the one after it."""
    year, month = int(period[:4]), int(period[5:])
    first = date(year, month, 1)
    return first, date(year + month // 12, month % 12 + 1, 1)


def _closed(partner: Partner, totals: CurrencyTotals) -> CurrencyStatement:
    closing = totals.opening + totals.earned - totals.clawed_back - totals.paid_real_time - totals.paid_sweep
    return CurrencyStatement(totals, closing, totals.currency == partner.payout_currency)
