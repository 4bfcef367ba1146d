"""Engine modes."""

from __future__ import annotations

from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_pricing.domain.engine_mode import EngineModeRow
from apportion_pricing.store import tables
from apportion_pricing.store.terms import engine_mode_row


class EngineModeStore:
    """The table engine_mode."""

    async def newest(self, connection: AsyncConnection, org_id: bytes | None) -> EngineModeRow | None:
        """Return the newest mode of an organisation, or the newest default."""
        table = tables.engine_mode
        same = table.c.org_id == UUID(bytes=org_id) if org_id is not None else table.c.org_id.is_(None)
        statement = select(table).where(same).order_by(table.c.revision.desc()).limit(1)
        row = (await connection.execute(statement)).one_or_none()
        return engine_mode_row(row) if row is not None else None

    async def add(self, tx: Transaction, row: EngineModeRow, override_reason: str, by: str) -> None:
        """Add an engine mode, for whatever event time."""
        values = {
            "org_id": UUID(bytes=row.org_id) if row.org_id is not None else None,
            "mode": row.mode.value,
            "override_reason": override_reason or None,
            "revision": row.revision,
            "created_by": by,
        }
        await tx.execute(insert(tables.engine_mode).values(values))
