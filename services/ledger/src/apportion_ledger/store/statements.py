"""What statements and the trial balance say."""

from __future__ import annotations

from datetime import date
from typing import Final
from uuid import UUID

from apportion_common.db.engine import allow_statement_s
from apportion_common.db.scaled import scaled_sql
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_ledger.domain.statements import CurrencyTotals, TrialRow
from apportion_ledger.limits import REPORT_TIMEOUT_S

# A sweep counts on the last day of its week, so that statements of neighbouring spans meet.
_TOTALS: Final = text(
    f"""
    WITH moves AS (
        SELECT currency, day, earned, clawed_back, paid_real_time, 0::numeric AS paid_sweep, line_count, real_time_count
        FROM partner_day WHERE partner_id = :partner_id
        UNION ALL
        SELECT currency, business_day, 0, 0, 0, amount, 0, 0
        FROM settlement WHERE partner_id = :partner_id AND kind = 'sweep' AND state <> 'void'
    ), placed AS (
        SELECT *, earned - clawed_back - paid_real_time - paid_sweep AS moved,
            CAST(:first AS date) IS NOT NULL AND day < CAST(:first AS date) AS before
        FROM moves WHERE CAST(:after AS date) IS NULL OR day < CAST(:after AS date)
    )
    SELECT currency,
        {scaled_sql("coalesce(sum(moved) FILTER (WHERE before), 0)")} AS opening,
        {scaled_sql("coalesce(sum(earned) FILTER (WHERE NOT before), 0)")} AS earned,
        {scaled_sql("coalesce(sum(clawed_back) FILTER (WHERE NOT before), 0)")} AS clawed_back,
        {scaled_sql("coalesce(sum(paid_real_time) FILTER (WHERE NOT before), 0)")} AS paid_real_time,
        {scaled_sql("coalesce(sum(paid_sweep) FILTER (WHERE NOT before), 0)")} AS paid_sweep,
        coalesce(sum(line_count) FILTER (WHERE NOT before), 0)::bigint AS line_count,
        coalesce(sum(real_time_count) FILTER (WHERE NOT before), 0)::bigint AS real_time_count
    FROM placed GROUP BY currency ORDER BY currency
    """
)
_TRIAL: Final = text(
    f"""
    SELECT account, currency, {scaled_sql("sum(debit)")} AS debit, {scaled_sql("sum(credit)")} AS credit
    FROM posting GROUP BY account, currency ORDER BY currency, account
    """
)


class StatementStore:
    """Sums of lines and payouts."""

    async def totals(
        self, connection: AsyncConnection, partner_id: UUID, first: date | None, after: date | None
    ) -> list[CurrencyTotals]:
        """Return the partner's sums per currency from day `first` to before `after`; None is unbounded."""
        rows = await connection.execute(_TOTALS, {"partner_id": partner_id, "first": first, "after": after})
        return [CurrencyTotals(row[0], *map(int, row[1:])) for row in rows]

    async def trial_balance(self, connection: AsyncConnection) -> list[TrialRow]:
        """Return all postings summed per account and currency."""
        await allow_statement_s(connection, REPORT_TIMEOUT_S)
        rows = await connection.execute(_TRIAL)
        return [TrialRow(row.account, row.currency, int(row.debit), int(row.credit)) for row in rows]
