"""Assignments of plans, and overrides."""

from __future__ import annotations

from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from apportion_common.instants import datetime_of_us
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_pricing.domain.terms import AssignmentRow, EntitlementRow, SubjectKind
from apportion_pricing.store import tables
from apportion_pricing.store.terms import assignment_row, entitlement_row


class EntitlementStore:
    """The tables org_business_model and org_entitlement."""

    async def assignments(self, connection: AsyncConnection, org_id: bytes) -> list[AssignmentRow]:
        """Return an organisation's assignments by effective time and revision."""
        table = tables.org_business_model
        statement = select(table).where(table.c.org_id == UUID(bytes=org_id))
        rows = await connection.execute(statement.order_by(table.c.effective_at, table.c.revision))
        return [assignment_row(row) for row in rows]

    async def add_assignment(self, tx: Transaction, row: AssignmentRow, notes: str, by: str) -> None:
        """Add an assignment."""
        assert row.plan_id is not None
        values = {
            "org_id": UUID(bytes=row.org_id),
            "plan_id": UUID(bytes=row.plan_id),
            "effective_at": datetime_of_us(row.effective_at_us),
            "revision": row.revision,
            "assigned_by": by,
            "notes": notes,
        }
        await tx.execute(insert(tables.org_business_model).values(values))

    async def entitlements(
        self, connection: AsyncConnection, kind: SubjectKind, subject_id: bytes
    ) -> list[EntitlementRow]:
        """Return a subject's rows by effective time and revision."""
        table = tables.org_entitlement
        statement = select(table).where(
            table.c.subject_type == kind.value, table.c.subject_id == UUID(bytes=subject_id)
        )
        rows = await connection.execute(statement.order_by(table.c.effective_at, table.c.revision))
        return [entitlement_row(row) for row in rows]

    async def add_entitlement(self, tx: Transaction, row: EntitlementRow, by: str) -> None:
        """Add an entitlement row."""
        assert row.plan_id is not None
        values = {
            "subject_type": row.subject_kind.value,
            "subject_id": UUID(bytes=row.subject_id),
            "plan_id": UUID(bytes=row.plan_id),
            "overrides": {sku: override.to_json() for sku, override in row.overrides.items()},
            "effective_at": datetime_of_us(row.effective_at_us),
            "revision": row.revision,
            "created_by": by,
        }
        await tx.execute(insert(tables.org_entitlement).values(values))
