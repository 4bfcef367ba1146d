"""The period's usage of each organisation and SKU: a projection that only the lane's owner writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from apportion_common.db.scaled import scaled_sql
from apportion_common.db.unit_of_work import Transaction
from apportion_common.decimals import QUANTITY_PLACES, QUANTITY_SUM, from_scaled, to_scaled
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_pricing.store import tables

PositionKey = tuple[bytes, str, str]
"""Organisation (16 bytes), SKU and period: whose usage is counted together (spec 08 choice 7)."""

_LOAD: Final = f"""
    SELECT p.org_id, p.sku, p.period, p.quantity, {scaled_sql("p.charged")}, {scaled_sql("p.shadow_charged")}
    FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS k (org_id, sku, period)
    JOIN usage_position AS p ON (p.org_id, p.sku, p.period) = (k.org_id, k.sku, k.period) AND p.group_key = ''
"""
_SAVE: Final = """
    INSERT INTO usage_position (org_id, sku, period, quantity, charged, shadow_charged)
    SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::numeric[], %s::numeric[], %s::numeric[])
    ON CONFLICT (org_id, sku, period, group_key) DO UPDATE
        SET quantity = excluded.quantity, charged = excluded.charged, shadow_charged = excluded.shadow_charged
"""


class StoredPosition(NamedTuple):
    """A position as it is stored, scaled by 9 places; the sums are None where they were never worked out."""

    quantity: int
    charged: int | None
    """Sum of the amounts of its live charges."""
    shadowed: int | None
    """Sum of the amounts of its other charges."""


UNUSED: Final = StoredPosition(0, 0, 0)
"""A position that is not stored yet."""


class PositionStore:
    """The table usage_position."""

    async def load(self, tx: Transaction, keys: Sequence[PositionKey]) -> Mapping[PositionKey, StoredPosition]:
        """Return the stored positions among `keys`; one that is missing is UNUSED."""
        connection = await tx.raw()
        cursor = await connection.execute(_LOAD, _columns(keys), binary=True)
        return {
            (org_id.bytes, sku, period): StoredPosition(
                to_scaled(quantity, QUANTITY_SUM),
                None if charged is None else int(charged),
                None if shadowed is None else int(shadowed),
            )
            for org_id, sku, period, quantity, charged, shadowed in await cursor.fetchall()
        }

    async def save(self, tx: Transaction, positions: Sequence[tuple[PositionKey, StoredPosition]]) -> None:
        """Store positions, locking them in the order given (sorted by key)."""
        connection = await tx.raw()
        numbers = [
            [None if number is None else from_scaled(number, QUANTITY_PLACES) for number in column]
            for column in zip(*(position for _, position in positions), strict=True)
        ]
        await connection.execute(_SAVE, (*_columns([key for key, _ in positions]), *numbers))

    async def used(self, connection: AsyncConnection, org_id: bytes, period: str) -> dict[str, int]:
        """Return what an organisation has used of each SKU in a period, scaled by 9 places."""
        table = tables.usage_position
        statement = select(table.c.sku, table.c.quantity).where(
            table.c.org_id == UUID(bytes=org_id), table.c.period == period, table.c.group_key == ""
        )
        return {row.sku: to_scaled(row.quantity, QUANTITY_SUM) for row in await connection.execute(statement)}


def _columns(keys: Sequence[PositionKey]) -> tuple[list[UUID], list[str], list[str]]:
    return [UUID(bytes=org_id) for org_id, _, _ in keys], [sku for _, sku, _ in keys], [period for _, _, period in keys]
