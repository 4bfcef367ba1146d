"""Reads of charges, by the order in which they were rated."""

from __future__ import annotations

from uuid import UUID

from apportion_common.db.unit_of_work import Database
from apportion_common.decimals import AMOUNT, QUANTITY, to_scaled
from apportion_common.ids import lane_of
from sqlalchemy import select, tuple_

from apportion_pricing.app.ports import ChargeRecord, Place
from apportion_pricing.store import tables
from apportion_pricing.store.times import to_us


class ChargeQueries:
    """Pages of the table charge."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, org_id: bytes | None, after: Place | None, limit: int) -> list[ChargeRecord]:
        """Charges of an organisation, or of all, after a place; each lane in the order of seq."""
        table = tables.charge
        statement = select(table).order_by(table.c.lane, table.c.seq, table.c.kind).limit(limit)
        if org_id is not None:
            # An organisation's charges are all in its lane, in which the index finds their order.
            statement = statement.where(table.c.lane == lane_of(org_id), table.c.org_id == UUID(bytes=org_id))
        if after is not None:
            statement = statement.where(tuple_(table.c.lane, table.c.seq, table.c.kind) > tuple_(*after))
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        return [
            ChargeRecord(
                charge_id=row.charge_id.bytes,
                event_id=row.event_id.bytes,
                org_id=row.org_id.bytes,
                project_id=row.project_id.bytes if row.project_id is not None else None,
                billing_account_id=row.billing_account_id.bytes,
                sku=row.sku,
                kind=row.kind,
                mode=row.mode,
                quantity=to_scaled(row.quantity, QUANTITY),
                quantity_before=to_scaled(row.quantity_before, QUANTITY),
                currency=row.currency,
                amount=to_scaled(row.amount, AMOUNT),
                event_time_us=to_us(row.event_time),
                period=row.period,
                lane=row.lane,
                batch_seq=row.pos,
                entry_seq=row.seq,
                catalog_revision=row.catalog_revision,
                orgs_revision=row.orgs_revision,
            )
            for row in rows
        ]
