"""Reopenings of periods that were asked for: the table period_reopening."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from apportion_common.db.actor import current_actor
from apportion_common.db.unit_of_work import Transaction
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_ADD: Final = text(
    """
    INSERT INTO period_reopening (period, org_id, number, reason, created_by)
    SELECT :period, wanted.org_id, 1 + coalesce(
        (SELECT max(number) FROM period_reopening AS r WHERE r.period = :period AND r.org_id = wanted.org_id), 0
    ), :reason, :created_by
    FROM unnest(CAST(:org_ids AS uuid[])) AS wanted (org_id)
    RETURNING org_id, number
    """
)
_LAST: Final = text("SELECT org_id, max(number) AS number FROM period_reopening WHERE period = :period GROUP BY org_id")
_ACCOUNTS: Final = text(
    """
    SELECT DISTINCT billing_account_id FROM org_billing_mapping WHERE org_id = ANY(CAST(:org_ids AS uuid[]))
    ORDER BY billing_account_id
    """
)
_UNKNOWN: Final = text(
    """
    SELECT wanted.org_id FROM unnest(CAST(:org_ids AS uuid[])) AS wanted (org_id)
    WHERE NOT EXISTS (SELECT FROM organization AS o WHERE o.org_id = wanted.org_id) LIMIT 1
    """
)


class PeriodReopeningStore:
    """Reopenings, and the accounts that they concern."""

    async def add(self, tx: Transaction, period: str, org_ids: Sequence[UUID], reason: str) -> list[tuple[UUID, int]]:
        """Add a reopening of each organisation; return its number, by organisation."""
        values = {
            "period": period,
            "org_ids": sorted(org_ids),
            "reason": reason,
            "created_by": current_actor(tx.service).subject,
        }
        return sorted((row.org_id, row.number) for row in await tx.execute(_ADD, values))

    async def last(self, connection: AsyncConnection, period: str) -> Mapping[bytes, int]:
        """Return the number of the last reopening of a period, by organisation (16 bytes)."""
        return {row.org_id.bytes: row.number for row in await connection.execute(_LAST, {"period": period})}

    async def accounts_of(self, tx: Transaction, org_ids: Sequence[UUID]) -> list[UUID]:
        """Return every account that any of the organisations is ever billed on, by id."""
        return list((await tx.execute(_ACCOUNTS, {"org_ids": list(org_ids)})).scalars())

    async def is_any_unknown(self, tx: Transaction, org_ids: Sequence[UUID]) -> bool:
        """Return whether one of the ids is no organisation's."""
        return (await tx.execute(_UNKNOWN, {"org_ids": list(org_ids)})).first() is not None
