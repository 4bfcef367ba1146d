"""The weekly sweeps: runs, claims and settlements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from apportion_common.db.actor import current_actor
from apportion_common.db.engine import allow_statement_s
from apportion_common.db.scaled import amount_of_scaled, scaled_sql
from apportion_common.db.unit_of_work import Transaction
from apportion_common.instants import DAY_US, date_of_day, datetime_of_us
from sqlalchemy import insert, select, text

from apportion_ledger.domain.sweeps import SweepBalance, SweepOutcome
from apportion_ledger.domain.weeks import Week
from apportion_ledger.limits import REPORT_TIMEOUT_S
from apportion_ledger.store.tables import sweep_claim, sweep_run
from apportion_ledger.store.terms import HELD_PARTNERS

_TAKE_TURNS: Final = text("SELECT pg_advisory_xact_lock(hashtextextended('ledger_sweep', 0))")
_IS_OVER: Final = text("SELECT clock_timestamp() >= :end_at")
_LOCK_ALL: Final = text(
    """
    SELECT partner_id, currency FROM partner_balance
    ORDER BY partner_id, currency COLLATE "C" FOR NO KEY UPDATE
    """
)
_BALANCES: Final = text(
    f"""
    WITH booked AS (
        SELECT partner_id, currency, sum(earned - clawed_back - paid_real_time) AS amount
        FROM partner_day WHERE day < :end_day GROUP BY partner_id, currency
    ), swept AS (
        SELECT partner_id, currency, sum(amount) AS amount
        FROM settlement WHERE kind = 'sweep' AND state <> 'void' GROUP BY partner_id, currency
    )
    SELECT b.partner_id, b.currency, {scaled_sql("b.amount - coalesce(s.amount, 0)")} AS balance, p.payout_currency,
        p.partner_id IN ({HELD_PARTNERS}) AS held
    FROM unnest(CAST(:partners AS uuid[]), CAST(:currencies AS text[])) AS k (partner_id, currency)
        JOIN booked AS b USING (partner_id, currency) JOIN partner AS p USING (partner_id)
        LEFT JOIN swept AS s USING (partner_id, currency)
    ORDER BY b.partner_id, b.currency COLLATE "C"
    """
)
_PAY: Final = text(
    """
    WITH paid AS (
        SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:partners AS uuid[]), CAST(:currencies AS text[]),
            CAST(:amounts AS numeric[])) AS p (settlement_id, partner_id, currency, amount)
    ), moved AS (
        UPDATE partner_balance AS b SET paid_sweep = b.paid_sweep + paid.amount FROM paid
        WHERE b.partner_id = paid.partner_id AND b.currency = paid.currency
    )
    INSERT INTO settlement (settlement_id, partner_id, kind, currency, amount, week, business_day, idempotency_key)
    SELECT settlement_id, partner_id, 'sweep', currency, amount, :week, :last_day,
        'sweep:' || :week || ':' || partner_id || ':' || currency
    FROM paid
    """
)
# Only lines that the locked balances count are found here: a batch in progress has not passed the locks, and what has
# no locked balance has no settlement.
# No index has the partner: its lines are found by the organisations and accounts that it is or was of record for.
_ATTACH: Final = text(
    """
    WITH subject AS (
        SELECT DISTINCT s.settlement_id, s.partner_id, s.currency, r.subject_type, r.subject_id
        FROM settlement AS s JOIN partner_of_record AS r USING (partner_id)
        WHERE s.kind = 'sweep' AND s.week = :week AND s.state <> 'void'
    ), line AS (
        SELECT l.entry_id, s.settlement_id
        FROM subject AS s JOIN ledger_line AS l ON l.org_id = s.subject_id AND NOT l.partner_from_account
            AND l.partner_id = s.partner_id AND l.currency = s.currency
        WHERE s.subject_type = 'org' AND l.event_time < :end_at
        UNION ALL
        SELECT l.entry_id, s.settlement_id
        FROM subject AS s JOIN ledger_line AS l ON l.billing_account_id = s.subject_id AND l.partner_from_account
            AND l.partner_id = s.partner_id AND l.currency = s.currency
        WHERE s.subject_type = 'billing_account' AND l.event_time < :end_at
    )
    INSERT INTO settlement_line (entry_id, settlement_id)
    SELECT entry_id, settlement_id FROM line AS l
    WHERE NOT EXISTS (
        SELECT FROM settlement_line AS a JOIN settlement AS e USING (settlement_id)
        WHERE a.entry_id = l.entry_id AND e.state <> 'void'
    )
    """
)
_WAIT_LONG: Final = text(f"SET LOCAL lock_timeout = '{REPORT_TIMEOUT_S}s'")


class SweepStore:
    """What sweeps lock, write and have written."""

    async def enter(self, tx: Transaction, week: Week) -> bool:
        """Wait for other sweeps to end; return True when the week was swept before."""
        await allow_statement_s(tx.connection, REPORT_TIMEOUT_S)
        await tx.execute(_WAIT_LONG)
        await tx.execute(_TAKE_TURNS)
        return (await tx.execute(select(sweep_run.c.week).where(sweep_run.c.week == week.key))).first() is not None

    async def is_over(self, tx: Transaction, week: Week) -> bool:
        """Return whether the week has ended by the database's clock."""
        return bool((await tx.execute(_IS_OVER, {"end_at": datetime_of_us(week.end_us)})).scalar_one())

    async def outcomes(self, tx: Transaction, week: Week) -> list[SweepOutcome]:
        """Return what the week's sweep did."""
        claim = sweep_claim.c
        rows = await tx.execute(
            text(
                f"SELECT partner_id, currency, {scaled_sql('balance')} AS balance, {scaled_sql('paid')} AS paid,"
                " settlement_id, carried_reason FROM sweep_claim WHERE week = :week ORDER BY partner_id, currency"
            ),
            {claim.week.name: week.key},
        )
        return [
            SweepOutcome(
                row.partner_id, row.currency, int(row.balance), int(row.paid), row.settlement_id, row.carried_reason
            )
            for row in rows
        ]

    async def lock_balances(self, tx: Transaction, week: Week) -> list[SweepBalance]:
        """Lock all balances in order; return what is payable of lines with an event before the week's end.

        A balance that is opened while this waits is not locked, so it is left to the next sweep.
        """
        locked = (await tx.execute(_LOCK_ALL)).all()
        rows = await tx.execute(
            _BALANCES,
            {
                "end_day": date_of_day(week.end_us // DAY_US),
                "partners": [row.partner_id for row in locked],
                "currencies": [row.currency for row in locked],
            },
        )
        return [
            SweepBalance(row.partner_id, row.currency, int(row.balance), row.payout_currency, row.held) for row in rows
        ]

    async def pay(self, tx: Transaction, week: Week, outcomes: Sequence[SweepOutcome]) -> None:
        """Write the settlements, claims and attached lines of the week, and move the balances."""
        paid = [outcome for outcome in outcomes if outcome.settlement_id is not None]
        if paid:
            await tx.execute(
                _PAY,
                {
                    "ids": [outcome.settlement_id for outcome in paid],
                    "partners": [outcome.partner_id for outcome in paid],
                    "currencies": [outcome.currency for outcome in paid],
                    "amounts": [amount_of_scaled(outcome.paid) for outcome in paid],
                    "week": week.key,
                    "last_day": date_of_day(week.end_us // DAY_US - 1),
                },
            )
        if outcomes:
            await tx.execute(
                insert(sweep_claim),
                [
                    {
                        "week": week.key,
                        "partner_id": outcome.partner_id,
                        "currency": outcome.currency,
                        "balance": amount_of_scaled(outcome.balance),
                        "paid": amount_of_scaled(outcome.paid),
                        "carried_reason": outcome.carried_reason,
                        "settlement_id": outcome.settlement_id,
                    }
                    for outcome in outcomes
                ],
            )
        if paid:
            await tx.execute(_ATTACH, {"week": week.key, "end_at": datetime_of_us(week.end_us)})

    async def finish(self, tx: Transaction, week: Week) -> None:
        """Record that the week is swept."""
        await tx.execute(insert(sweep_run).values(week=week.key, created_by=current_actor(tx.service).subject))
