"""Payouts: sweeps and their claims, the queue of what is pending, and the built-in provider's list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from apportion_common.db.actor import current_actor
from apportion_common.db.unit_of_work import Database, Transaction
from sqlalchemy import Row, insert, select, text
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_ledger.app.ports import (
    PayoutAnswer,
    PendingPayout,
    Settlement,
    SweepBalance,
    SweepOutcome,
)
from apportion_ledger.domain.weeks import DAY_US, Week
from apportion_ledger.limits import REPORT_TIMEOUT_MS
from apportion_ledger.store.instants import amount, scaled, to_date, to_datetime, to_us
from apportion_ledger.store.tables import payout_instruction, sweep_claim, sweep_run
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
    SELECT b.partner_id, b.currency, {scaled("b.amount - coalesce(s.amount, 0)")} AS balance, p.payout_currency,
        p.partner_id IN ({HELD_PARTNERS}) AS held
    FROM booked AS b JOIN partner AS p USING (partner_id) LEFT JOIN swept AS s USING (partner_id, currency)
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
# Only lines that the locked balances count are visible here: a batch in progress has not passed the locks.
_ATTACH: Final = text(
    """
    INSERT INTO settlement_line (entry_id, settlement_id)
    SELECT l.entry_id, s.settlement_id
    FROM ledger_line AS l
    JOIN settlement AS s ON s.partner_id = l.partner_id AND s.currency = l.currency
    WHERE s.kind = 'sweep' AND s.week = :week AND s.state <> 'void' AND l.event_time < :end_at
        AND l.partner_id IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM settlement_line AS a JOIN settlement AS e USING (settlement_id)
            WHERE a.entry_id = l.entry_id AND e.state <> 'void'
        )
    """
)
_LONG: Final = text(f"SET LOCAL statement_timeout = {REPORT_TIMEOUT_MS}")
_WAIT_LONG: Final = text(f"SET LOCAL lock_timeout = {REPORT_TIMEOUT_MS}")


class SweepBooks:
    """The books of the weekly sweeps."""

    async def enter(self, tx: Transaction, week: Week) -> bool:
        """Wait for other sweeps to end; True when the week was swept before."""
        await tx.execute(_LONG)
        await tx.execute(_WAIT_LONG)
        await tx.execute(_TAKE_TURNS)
        return (await tx.execute(select(sweep_run.c.week).where(sweep_run.c.week == week.key))).first() is not None

    async def is_over(self, tx: Transaction, week: Week) -> bool:
        """Whether the week has ended by the database's clock."""
        return bool((await tx.execute(_IS_OVER, {"end_at": to_datetime(week.end_us)})).scalar_one())

    async def outcomes(self, tx: Transaction, week: Week) -> list[SweepOutcome]:
        """What the week's sweep did."""
        claim = sweep_claim.c
        rows = await tx.execute(
            text(
                f"SELECT partner_id, currency, {scaled('balance')} AS balance, {scaled('paid')} AS paid, settlement_id,"
                " carried_reason FROM sweep_claim WHERE week = :week ORDER BY partner_id, currency"
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
        """Lock all balances in order; give what is payable of lines with an event before the week's end."""
        await tx.execute(_LOCK_ALL)
        rows = await tx.execute(_BALANCES, {"end_day": to_date(week.end_us // DAY_US)})
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
                    "amounts": [amount(outcome.paid) for outcome in paid],
                    "week": week.key,
                    "last_day": to_date(week.end_us // DAY_US - 1),
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
                        "balance": amount(outcome.balance),
                        "paid": amount(outcome.paid),
                        "carried_reason": outcome.carried_reason,
                        "settlement_id": outcome.settlement_id,
                    }
                    for outcome in outcomes
                ],
            )
        if paid:
            await tx.execute(_ATTACH, {"week": week.key, "end_at": to_datetime(week.end_us)})

    async def finish(self, tx: Transaction, week: Week) -> None:
        """Note that the week's sweep came to its end."""
        await tx.execute(insert(sweep_run).values(week=week.key, created_by=current_actor(tx.service).subject))


_PAGE: Final = text(
    f"""
    SELECT settlement_id, partner_id, kind, currency, {scaled("amount")} AS amount, week, state, created_at, entry_id
    FROM settlement
    WHERE (CAST(:partner_id AS uuid) IS NULL OR partner_id = :partner_id)
        AND (CAST(:kind AS text) IS NULL OR kind = :kind)
        AND (CAST(:after AS uuid) IS NULL OR settlement_id > :after)
    ORDER BY settlement_id LIMIT :most
    """
)
_PENDING: Final = text(
    f"""
    SELECT settlement_id, partner_id, currency, {scaled("amount")} AS amount FROM settlement
    WHERE state = 'pending' AND (CAST(:after AS uuid) IS NULL OR settlement_id > :after)
        AND (refused_at IS NULL OR refused_at < clock_timestamp() - make_interval(secs => :retry_s))
    ORDER BY settlement_id LIMIT :most
    """
)
_MARK_PAID: Final = text(
    """
    UPDATE settlement SET state = 'paid', decided_at = clock_timestamp()
    WHERE state = 'pending' AND settlement_id = ANY(CAST(:ids AS uuid[]))
    RETURNING settlement_id
    """
)
_LOCK_OF_PAYOUT: Final = text(
    """
    SELECT b.partner_id FROM partner_balance AS b JOIN settlement AS s USING (partner_id, currency)
    WHERE s.settlement_id = :id FOR NO KEY UPDATE OF b
    """
)
_REFUSED: Final = text(
    """
    UPDATE settlement SET refusals = refusals + 1, refused_at = clock_timestamp(),
        state = CASE WHEN refusals + 1 >= :most THEN 'void' ELSE state END,
        void_reason = CASE WHEN refusals + 1 >= :most THEN 'REFUSED_BY_PROVIDER' END,
        decided_at = CASE WHEN refusals + 1 >= :most THEN clock_timestamp() END
    WHERE settlement_id = :id AND state = 'pending'
    RETURNING state
    """
)
_GIVE_BACK: Final = text(
    """
    WITH voided AS (SELECT * FROM settlement WHERE settlement_id = :id), day AS (
        UPDATE partner_day AS d SET paid_real_time = d.paid_real_time - v.amount,
            real_time_count = d.real_time_count - 1
        FROM voided AS v
        WHERE v.kind = 'real_time' AND d.partner_id = v.partner_id AND d.currency = v.currency
            AND d.day = v.business_day
    )
    UPDATE partner_balance AS b SET
        paid_real_time = b.paid_real_time - CASE WHEN v.kind = 'real_time' THEN v.amount ELSE 0 END,
        paid_sweep = b.paid_sweep - CASE WHEN v.kind = 'sweep' THEN v.amount ELSE 0 END
    FROM voided AS v WHERE b.partner_id = v.partner_id AND b.currency = v.currency
    """
)


class SettlementTable:
    """Payouts, to list them and to bring each to its end."""

    async def page(
        self, connection: AsyncConnection, partner_id: UUID | None, kind: str | None, after: UUID | None, limit: int
    ) -> list[Settlement]:
        """At most `limit` payouts by id, from the one after `after` on."""
        rows = await connection.execute(_PAGE, {"partner_id": partner_id, "kind": kind, "after": after, "most": limit})
        return [_settlement(row) for row in rows]

    async def pending(
        self, connection: AsyncConnection, after: UUID | None, limit: int, retry_s: int
    ) -> list[PendingPayout]:
        """Payouts to be made, by id; a refused one again after `retry_s`."""
        rows = await connection.execute(_PENDING, {"after": after, "most": limit, "retry_s": retry_s})
        return [PendingPayout(row.settlement_id, row.partner_id, row.currency, int(row.amount)) for row in rows]

    async def mark_paid(self, tx: Transaction, settlement_ids: Sequence[UUID]) -> list[UUID]:
        """End pending payouts as paid; those that this call ended."""
        rows = await tx.execute(_MARK_PAID, {"ids": sorted(settlement_ids)})
        return [row.settlement_id for row in rows]

    async def mark_refused(self, tx: Transaction, settlement_id: UUID, refusals_max: int) -> bool:
        """Count a refusal; at the last one void the payout and give its amount back to the balance: True."""
        await tx.execute(_LOCK_OF_PAYOUT, {"id": settlement_id})
        state = (await tx.execute(_REFUSED, {"id": settlement_id, "most": refusals_max})).scalar_one_or_none()
        if state != "void":
            return False
        await tx.execute(_GIVE_BACK, {"id": settlement_id})
        return True


class InstructionBook:
    """The built-in payout provider: it writes the list that finance pays from, one row a settlement."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pay(self, payouts: Sequence[PendingPayout]) -> Mapping[UUID, PayoutAnswer]:
        """Instruct the payouts, in a transaction of its own; what was instructed before stays as it is."""
        async with self._database.transaction() as tx:
            await tx.execute(
                pg_insert(payout_instruction).on_conflict_do_nothing(),
                [
                    {
                        "settlement_id": payout.settlement_id,
                        "partner_id": payout.partner_id,
                        "currency": payout.currency,
                        "amount": amount(payout.amount),
                    }
                    for payout in payouts
                ],
            )
        return {payout.settlement_id: PayoutAnswer.ACCEPTED for payout in payouts}


def _settlement(row: Row[Any]) -> Settlement:
    return Settlement(
        row.settlement_id,
        row.partner_id,
        row.kind,
        row.currency,
        int(row.amount),
        row.week,
        row.state,
        to_us(row.created_at),
        row.entry_id,
    )
