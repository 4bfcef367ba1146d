"""Assignments, overrides, engine modes, and what is used of them."""

from __future__ import annotations

from uuid import UUID

from apportion_common.db.unit_of_work import Transaction
from apportion_common.decimals import PRICE_PLACES, QUANTITY, QUANTITY_PLACES, format_scaled, to_scaled
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_pricing.app.ports import EngineModeRow
from apportion_pricing.domain.terms import AssignmentRow, EntitlementRow, Override, SubjectKind
from apportion_pricing.store import tables
from apportion_pricing.store.terms import assignment_row, engine_mode_row, entitlement_row
from apportion_pricing.store.times import from_us


class EntitlementTables:
    """The tables org_business_model, org_entitlement, engine_mode and usage_position."""

    async def assignments(self, connection: AsyncConnection, org_id: bytes) -> list[AssignmentRow]:
        """An organisation's assignments by effective time and revision."""
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
            "effective_at": from_us(row.effective_at_us),
            "revision": row.revision,
            "assigned_by": by,
            "notes": notes,
        }
        await tx.execute(insert(tables.org_business_model).values(values))

    async def entitlements(
        self, connection: AsyncConnection, kind: SubjectKind, subject_id: bytes
    ) -> list[EntitlementRow]:
        """A subject's rows by effective time and revision."""
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
            "overrides": {sku: _override_json(override) for sku, override in row.overrides.items()},
            "effective_at": from_us(row.effective_at_us),
            "revision": row.revision,
            "created_by": by,
        }
        await tx.execute(insert(tables.org_entitlement).values(values))

    async def mode(self, connection: AsyncConnection, org_id: bytes | None) -> EngineModeRow | None:
        """The newest mode of an organisation, or the newest default."""
        table = tables.engine_mode
        same = table.c.org_id == UUID(bytes=org_id) if org_id is not None else table.c.org_id.is_(None)
        statement = select(table).where(same).order_by(table.c.revision.desc()).limit(1)
        row = (await connection.execute(statement)).one_or_none()
        return engine_mode_row(row) if row is not None else None

    async def add_mode(self, tx: Transaction, row: EngineModeRow, override_reason: str, by: str) -> None:
        """Add an engine mode, for whatever event time."""
        values = {
            "org_id": UUID(bytes=row.org_id) if row.org_id is not None else None,
            "mode": row.mode,
            "override_reason": override_reason or None,
            "revision": row.revision,
            "created_by": by,
        }
        await tx.execute(insert(tables.engine_mode).values(values))

    async def used(self, connection: AsyncConnection, org_id: bytes, period: str) -> dict[str, int]:
        """What an organisation has used of each SKU in a period, scaled by 9 places."""
        table = tables.usage_position
        statement = select(table.c.sku, table.c.quantity).where(
            table.c.org_id == UUID(bytes=org_id), table.c.period == period, table.c.group_key == ""
        )
        return {row.sku: to_scaled(row.quantity, QUANTITY) for row in await connection.execute(statement)}


def _override_json(override: Override) -> dict[str, object]:
    values: dict[str, object] = {}
    if override.included is not None:
        values["included_qty"] = format_scaled(override.included, QUANTITY_PLACES)
    if override.overage_price is not None:
        values["overage_price"] = format_scaled(override.overage_price, PRICE_PLACES)
    if override.tiers is not None:
        values["tiers"] = override.tiers.to_json()
    return values
