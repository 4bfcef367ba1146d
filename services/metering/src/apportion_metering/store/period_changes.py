"""What was put into the lanes about periods, so that requeues find an open one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from apportion_common.db.head import next_revision
from apportion_common.db.unit_of_work import Transaction
from apportion_common.period_closes import PeriodChange, PeriodCloses
from sqlalchemy import insert, select, text

from apportion_metering.store.tables import period_change

_NOW: Final = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
_WITHOUT_USAGE: Final = text(
    "SELECT org_id FROM unnest(CAST(:org_ids AS uuid[])) AS wanted(org_id)"
    " WHERE NOT EXISTS (SELECT FROM metering_event_key AS k WHERE k.org_id = wanted.org_id) ORDER BY org_id"
)


class PeriodChangeStore:
    """The table period_change, and what is known of organisations."""

    async def note_changes(self, tx: Transaction, changes: Sequence[PeriodChange]) -> None:
        """Note changes, in their order, behind all that were noted before."""
        # One transaction at a time: the order of the rows is then that of the commits.
        await next_revision(tx)
        await tx.execute(
            insert(period_change),
            [
                {
                    "period": change.period,
                    "org_id": UUID(bytes=change.org_id) if change.org_id is not None else None,
                    "reopening": change.reopening,
                }
                for change in changes
            ],
        )

    async def closes(self, tx: Transaction, periods: Sequence[str]) -> PeriodCloses:
        """Return what is closed of some periods."""
        columns = period_change.c
        rows = await tx.execute(
            select(columns.period, columns.org_id, columns.reopening)
            .where(columns.period.in_(periods))
            .order_by(columns.change_id)
        )
        return PeriodCloses(
            PeriodChange(row.period, row.org_id.bytes if row.org_id is not None else None, row.reopening)
            for row in rows
        )

    async def now_us(self, tx: Transaction) -> int:
        """Return the database's time, in microseconds since 1970."""
        return int((await tx.execute(_NOW)).scalar_one())

    async def without_usage(self, tx: Transaction, org_ids: Sequence[UUID]) -> list[UUID]:
        """Return those organisations of which no event ever came, by id."""
        return list((await tx.execute(_WITHOUT_USAGE, {"org_ids": list(org_ids)})).scalars())
