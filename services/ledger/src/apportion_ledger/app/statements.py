"""Statements of partners, and the trial balance (spec 02 rule 9)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple
from uuid import UUID

from apportion_common.db.unit_of_work import Database
from apportion_common.instants import DAY_US, date_of_day
from apportion_common.periods import parse_period

from apportion_ledger import errors
from apportion_ledger.domain.partners import Partner
from apportion_ledger.domain.statements import CurrencyTotals, TrialRow, closing_balance, is_balanced
from apportion_ledger.store.statements import StatementStore
from apportion_ledger.store.terms import TermsStore


class CurrencyStatement(NamedTuple):
    """Sums of one currency, with what they leave."""

    totals: CurrencyTotals
    closing: int
    payable: bool


class PartnerStatement(NamedTuple):
    """A partner's statement."""

    partner: Partner
    currencies: Sequence[CurrencyStatement]


class Statements:
    """Reads statements and the trial balance."""

    def __init__(self, database: Database, terms: TermsStore, statements: StatementStore) -> None:
        self._database = database
        self._terms = terms
        self._statements = statements

    async def of_partner(self, partner_id: UUID, period: str) -> PartnerStatement:
        """Return the statement of a calendar month (by the lines' event time, UTC), or of all time when empty.

        A sweep counts on the last day of its week. Raises NotFound PARTNER_NOT_FOUND, OutOfRange TIME_OUT_OF_RANGE.
        """
        first, end = _days_of(period) if period else (None, None)
        async with self._database.read(snapshot=True) as connection:
            partner = await self._terms.partner(connection, partner_id)
            if partner is None:
                raise errors.partner_not_found(partner_id)
            found = await self._statements.totals(connection, partner_id, first, end)
        return PartnerStatement(
            partner,
            [
                CurrencyStatement(totals, closing_balance(totals), totals.currency == partner.payout_currency)
                for totals in found
            ],
        )

    async def trial_balance(self) -> tuple[Sequence[TrialRow], bool]:
        """Return all postings per account and currency, and whether each currency sums to zero."""
        async with self._database.read(snapshot=True) as connection:
            rows = await self._statements.trial_balance(connection)
        return rows, is_balanced(rows)


def _days_of(key: str) -> tuple[date, date]:
    """Return the first day of a period, and of the one after it."""
    period = parse_period(key)
    return date_of_day(period.start_us // DAY_US), date_of_day(period.end_us // DAY_US)
