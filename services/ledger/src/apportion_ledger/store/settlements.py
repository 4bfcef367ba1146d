"""Settlements: listed, and each brought to its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from apportion_common.db.scaled import scaled_sql
from apportion_common.db.unit_of_work import Transaction
from apportion_common.instants import us_of_datetime
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_ledger.domain.settlements import PendingPayout, Settlement

_PAGE: Final = text(
    f"""
    SELECT settlement_id, partner_id, kind, currency, {scaled_sql("amount")} AS amount, week, state, created_at,
        entry_id
    FROM settlement
    WHERE (CAST(:partner_id AS uuid) IS NULL OR partner_id = :partner_id)
        AND (CAST(:kind AS text) IS NULL OR kind = :kind)
        AND (CAST(:after AS uuid) IS NULL OR settlement_id > :after)
    ORDER BY settlement_id LIMIT :limit
    """
)
_PENDING: Final = text(
    f"""
    SELECT settlement_id, partner_id, currency, {scaled_sql("amount")} AS amount FROM settlement
    WHERE state = 'pending' AND (CAST(:after AS uuid) IS NULL OR settlement_id > :after)
        AND (refused_at IS NULL OR refused_at < clock_timestamp() - make_interval(secs => :retry_s))
    ORDER BY settlement_id LIMIT :limit
    """
)
_MARK_PAID: Final = text(
    """
    UPDATE settlement AS s SET state = 'paid', decided_at = clock_timestamp()
    FROM (
        SELECT settlement_id FROM settlement
        WHERE state = 'pending' AND settlement_id = ANY(CAST(:ids AS uuid[]))
        ORDER BY settlement_id FOR NO KEY UPDATE
    ) AS locked
    WHERE s.settlement_id = locked.settlement_id
    RETURNING s.settlement_id
    """
)
_LOCK_OF_PAYOUT: Final = text(
    """
    SELECT b.partner_id FROM partner_balance AS b JOIN settlement AS s USING (partner_id, currency)
    WHERE s.settlement_id = :id FOR NO KEY UPDATE OF b
    """
)
_REJECTED: Final = text(
    """
    UPDATE settlement SET refusals = refusals + 1, refused_at = clock_timestamp(),
        state = CASE WHEN refusals + 1 >= :rejections_max THEN 'void' ELSE state END,
        void_reason = CASE WHEN refusals + 1 >= :rejections_max THEN 'REFUSED_BY_PROVIDER' END,
        decided_at = CASE WHEN refusals + 1 >= :rejections_max THEN clock_timestamp() END
    WHERE settlement_id = :id AND state = 'pending'
    RETURNING state
    """
)
_RETURN_TO_BALANCE: Final = text(
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


class SettlementStore:
    """Payouts, to list them and to bring each to its end."""

    async def page(
        self, connection: AsyncConnection, partner_id: UUID | None, kind: str | None, after: UUID | None, limit: int
    ) -> list[Settlement]:
        """Return at most `limit` payouts by id, from the one after `after` on."""
        rows = await connection.execute(_PAGE, {"partner_id": partner_id, "kind": kind, "after": after, "limit": limit})
        return [_settlement(row) for row in rows]

    async def pending(
        self, connection: AsyncConnection, after: UUID | None, limit: int, retry_s: int
    ) -> list[PendingPayout]:
        """Return payouts to be made, by id; a rejected one again after `retry_s`."""
        rows = await connection.execute(_PENDING, {"after": after, "limit": limit, "retry_s": retry_s})
        return [PendingPayout(row.settlement_id, row.partner_id, row.currency, int(row.amount)) for row in rows]

    async def mark_paid(self, tx: Transaction, settlement_ids: Sequence[UUID]) -> list[UUID]:
        """End pending payouts as paid; return those that this call ended."""
        rows = await tx.execute(_MARK_PAID, {"ids": list(settlement_ids)})
        return [row.settlement_id for row in rows]

    async def mark_rejected(self, tx: Transaction, settlement_id: UUID, rejections_max: int) -> bool:
        """Count a rejection; at the last one void the payout, return its amount to the balance, and return True."""
        await tx.execute(_LOCK_OF_PAYOUT, {"id": settlement_id})
        state = (
            await tx.execute(_REJECTED, {"id": settlement_id, "rejections_max": rejections_max})
        ).scalar_one_or_none()
        if state != "void":
            return False
        await tx.execute(_RETURN_TO_BALANCE, {"id": settlement_id})
        return True


def _settlement(row: Row[Any]) -> Settlement:
    return Settlement(
        row.settlement_id,
        row.partner_id,
        row.kind,
        row.currency,
        int(row.amount),
        row.week,
        row.state,
        us_of_datetime(row.created_at),
        row.entry_id,
    )
