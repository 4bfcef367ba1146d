"""Reads of charges, by the order in which they were rated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_common.ids import lane_of
from apportion_pricing.store import tables

Place = tuple[int, int, str]
"""Lane, seq and kind: where a charge stands."""


async def list_charges(
    connection: AsyncConnection, org_id: UUID | None, after: Place | None, limit: int
) -> Sequence[Row[Any]]:
    """Charges of an organisation, or of all, after a place; each lane in the order of seq."""
    table = tables.charge
    place = tuple_(table.c.lane, table.c.seq, table.c.kind)
    statement = select(table).order_by(table.c.lane, table.c.seq, table.c.kind).limit(limit)
    if org_id is not None:
        # An organisation's charges are all in its lane, in which the index finds their order.
        statement = statement.where(table.c.lane == lane_of(org_id.bytes), table.c.org_id == org_id)
    if after is not None:
        statement = statement.where(place > tuple_(*after))
    return (await connection.execute(statement)).all()
