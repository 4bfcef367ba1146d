"""The ledger's invariants, each a query for what breaks it: no row, no breach.

They trust nothing that the service wrote beside a line: sums are made again from lines and payouts, shares from gross
and rate, hashes from content. One snapshot serves all of them.
"""

from __future__ import annotations

from typing import Final

from apportion_common.db.engine import allow_statement_s
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_ledger.domain.invariants import InvariantOutcome
from apportion_ledger.limits import REPORT_TIMEOUT_S

_SCALED: Final = "trunc({} * 1000000000)::text"


def _text_field(column: str) -> str:
    return f"octet_length({column})::text || ':' || {column}"


# As domain/digest.py writes a line's content, in SQL: tampering that keeps a line balanced still shows.
_CONTENT: Final = f"""
    convert_to('L1|' || {_text_field("l.kind")} || '|', 'UTF8') || uuid_send(l.org_id)
    || CASE WHEN l.project_id IS NULL THEN convert_to('|0:|', 'UTF8')
        ELSE convert_to('|16:', 'UTF8') || uuid_send(l.project_id) || convert_to('|', 'UTF8') END
    || uuid_send(coalesce(l.event_id, l.cause_id))
    || convert_to('|0:|' || {_text_field("l.sku")} || '|' || {_SCALED.format("l.quantity")} || '|' || l.currency || '|'
        || {_SCALED.format("l.amount_gross")} || '|16:', 'UTF8')
    || uuid_send(l.billing_account_id) || convert_to('|' || coalesce('billed:' || l.billed_period || '|', ''), 'UTF8')
    || CASE WHEN l.partner_id IS NULL THEN convert_to('0:|', 'UTF8')
        ELSE convert_to('16:', 'UTF8') || uuid_send(l.partner_id) || convert_to('|', 'UTF8') END
    || convert_to(trunc(l.partner_pct * 10000)::text || '|' || {_SCALED.format("l.partner_amount")} || '|'
        || {_SCALED.format("l.net")} || '|' || trunc(extract(epoch FROM l.event_time) * 1000000)::text, 'UTF8')
"""

INVARIANTS: Final = {
    "gross_is_partner_plus_net": """
        SELECT entry_id::text FROM ledger_line
        WHERE amount_gross <> partner_amount + net OR 'NaN'::numeric IN (quantity, amount_gross, partner_amount, net)
    """,
    "partner_share_is_rate_of_gross": """
        SELECT entry_id::text FROM ledger_line
        WHERE kind IN ('usage', 'rerate', 'base', 'minimum')
            AND partner_amount <> round(amount_gross * partner_pct * 0.01, 9)
    """,
    "postings_sum_to_zero": """
        SELECT currency FROM posting GROUP BY currency HAVING sum(debit) <> sum(credit)
    """,
    "content_matches_hash": f"""
        SELECT l.entry_id::text FROM ledger_line AS l
        WHERE l.kind IN ('usage', 'rerate', 'base', 'minimum') AND sha256({_CONTENT}) <> l.content_hash
    """,
    "every_line_has_its_charge_key": """
        SELECT l.entry_id::text FROM ledger_line AS l LEFT JOIN ledger_charge_key AS k USING (charge_id)
        WHERE k.entry_id IS DISTINCT FROM l.entry_id
    """,
    "every_charge_key_has_one_line": """
        SELECT k.charge_id::text FROM ledger_charge_key AS k LEFT JOIN ledger_line AS l USING (charge_id)
        GROUP BY k.charge_id HAVING count(l.entry_id) <> 1
    """,
    "every_line_has_a_known_partner": """
        SELECT l.entry_id::text FROM ledger_line AS l LEFT JOIN partner AS p USING (partner_id)
        WHERE l.partner_id IS NOT NULL AND p.partner_id IS NULL
    """,
    "balances_equal_lines_and_payouts": """
        WITH booked AS (
            SELECT partner_id, currency,
                sum(partner_amount) FILTER (WHERE kind NOT IN ('reversal', 'adjustment')) AS earned,
                -sum(partner_amount) FILTER (WHERE kind IN ('reversal', 'adjustment')) AS clawed_back
            FROM ledger_line WHERE partner_id IS NOT NULL GROUP BY partner_id, currency
        ), paid AS (
            SELECT partner_id, currency, sum(amount) FILTER (WHERE kind = 'real_time') AS real_time,
                sum(amount) FILTER (WHERE kind = 'sweep') AS sweep
            FROM settlement WHERE state <> 'void' GROUP BY partner_id, currency
        )
        SELECT partner_id || ' ' || currency
        FROM partner_balance AS b FULL JOIN booked AS l USING (partner_id, currency)
            FULL JOIN paid AS p USING (partner_id, currency)
        WHERE coalesce(b.earned, 0) <> coalesce(l.earned, 0)
            OR coalesce(b.clawed_back, 0) <> coalesce(l.clawed_back, 0)
            OR coalesce(b.paid_real_time, 0) <> coalesce(p.real_time, 0)
            OR coalesce(b.paid_sweep, 0) <> coalesce(p.sweep, 0)
    """,
    "days_equal_lines_and_payouts": """
        WITH booked AS (
            SELECT partner_id, currency, (event_time AT TIME ZONE 'UTC')::date AS day,
                sum(partner_amount) FILTER (WHERE kind NOT IN ('reversal', 'adjustment')) AS earned,
                -sum(partner_amount) FILTER (WHERE kind IN ('reversal', 'adjustment')) AS clawed_back,
                count(*) AS line_count
            FROM ledger_line WHERE partner_id IS NOT NULL GROUP BY partner_id, currency, day
        ), paid AS (
            SELECT partner_id, currency, business_day AS day, sum(amount) AS amount, count(*) AS count
            FROM settlement WHERE kind = 'real_time' AND state <> 'void' GROUP BY partner_id, currency, business_day
        )
        SELECT partner_id || ' ' || currency || ' ' || day
        FROM partner_day AS d FULL JOIN booked AS l USING (partner_id, currency, day)
            FULL JOIN paid AS p USING (partner_id, currency, day)
        WHERE coalesce(d.earned, 0) <> coalesce(l.earned, 0)
            OR coalesce(d.clawed_back, 0) <> coalesce(l.clawed_back, 0)
            OR coalesce(d.line_count, 0) <> coalesce(l.line_count, 0)
            OR coalesce(d.paid_real_time, 0) <> coalesce(p.amount, 0)
            OR coalesce(d.real_time_count, 0) <> coalesce(p.count, 0)
    """,
    "real_time_payouts_follow_their_lines": """
        SELECT s.settlement_id::text FROM settlement AS s LEFT JOIN ledger_line AS l USING (entry_id)
        WHERE s.kind = 'real_time' AND (
            l.entry_id IS NULL OR l.kind IN ('reversal', 'adjustment') OR l.partner_id <> s.partner_id
            OR l.currency <> s.currency OR s.amount > l.partner_amount OR l.amount_gross < s.threshold
            OR s.business_day <> (l.event_time AT TIME ZONE 'UTC')::date
        )
    """,
    "each_line_is_in_one_sweep_at_most": """
        SELECT a.entry_id::text FROM settlement_line AS a JOIN settlement AS s USING (settlement_id)
        WHERE s.state <> 'void' GROUP BY a.entry_id HAVING count(*) > 1
    """,
    "swept_lines_are_the_partners_own": """
        SELECT a.entry_id::text FROM settlement_line AS a JOIN settlement AS s USING (settlement_id)
            LEFT JOIN ledger_line AS l ON l.entry_id = a.entry_id
        WHERE l.partner_id IS DISTINCT FROM s.partner_id OR l.currency IS DISTINCT FROM s.currency
    """,
    "sweeps_equal_their_claims": """
        SELECT coalesce(s.settlement_id, c.settlement_id)::text
        FROM (SELECT * FROM settlement WHERE kind = 'sweep') AS s
            FULL JOIN (SELECT * FROM sweep_claim WHERE paid > 0) AS c USING (settlement_id)
        WHERE s.amount IS DISTINCT FROM c.paid OR s.week IS DISTINCT FROM c.week
            OR s.partner_id IS DISTINCT FROM c.partner_id OR s.currency IS DISTINCT FROM c.currency
    """,
    "paid_settlements_were_instructed_once": """
        SELECT s.settlement_id::text FROM settlement AS s LEFT JOIN payout_instruction AS i USING (settlement_id)
        WHERE (s.state = 'paid' AND i.amount IS DISTINCT FROM s.amount)
            OR (i.settlement_id IS NOT NULL AND (i.partner_id <> s.partner_id OR i.currency <> s.currency))
    """,
    "reversals_never_exceed": """
        SELECT l.entry_id::text FROM ledger_line AS r JOIN ledger_line AS l ON l.entry_id = r.reverses_entry_id
        WHERE r.reverses_entry_id IS NOT NULL
        GROUP BY l.entry_id, l.amount_gross HAVING abs(sum(r.amount_gross)) > abs(l.amount_gross)
    """,
    "one_partner_of_record_at_a_time": """
        SELECT a.por_id::text FROM partner_of_record AS a JOIN partner_of_record AS b
            USING (subject_type, subject_id)
        WHERE a.por_id < b.por_id AND tstzrange(a.start_at, a.end_at) && tstzrange(b.start_at, b.end_at)
    """,
    "lanes_stand_at_or_after_their_lines": """
        SELECT 'lane ' || l.lane FROM ledger_line AS l
            LEFT JOIN lane AS w ON w.role = 'ledger_poster' AND w.lane = l.lane
        WHERE l.lane IS NOT NULL GROUP BY l.lane, w.pos HAVING max(l.pos) > coalesce(w.pos, 0)
    """,
    "receipts_have_no_gaps": """
        SELECT 'lane ' || lane FROM lane_outbox WHERE role = 'ledger_poster'
        GROUP BY lane HAVING max(pos) - min(pos) + 1 <> count(DISTINCT pos)
    """,
    "statements_close": """
        SELECT statement_id::text FROM statement
        WHERE closing <> opening + earned - clawed_back - paid_real_time - paid_sweep
    """,
}
"""Names and queries; each query returns one text per breach."""


class InvariantStore:
    """Queries for what breaks an invariant."""

    async def violations(self, connection: AsyncConnection, examples_max: int) -> list[InvariantOutcome]:
        """Return the outcome of each, with the first ids of what breaks it."""
        await allow_statement_s(connection, REPORT_TIMEOUT_S)
        outcomes = []
        for name, query in INVARIANTS.items():
            counted = text(
                f"SELECT count(*) AS violations, (array_agg(id ORDER BY id))[1:{examples_max:d}] AS examples"
                f" FROM ({query}) AS breach (id)"
            )
            row = (await connection.execute(counted)).one()
            outcomes.append(InvariantOutcome(name, row.violations, tuple(row.examples or ())))
        return outcomes
