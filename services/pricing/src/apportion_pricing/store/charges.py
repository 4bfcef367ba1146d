"""Charges: in by binary COPY, packed row by row, and out in the order in which they were rated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import Final
from uuid import UUID

from apportion_common.db.copy import (
    NULL,
    POSTGRES_EPOCH_US,
    UUID_HEAD,
    BinaryCopy,
    pack_int4,
    pack_int8,
    pack_numeric,
    pack_text,
    pack_uuid,
)
from apportion_common.db.scaled import scaled_sql
from apportion_common.db.unit_of_work import Transaction
from apportion_common.decimals import AMOUNT, AMOUNT_PLACES, QUANTITY, QUANTITY_PLACES, QUANTITY_SUM, to_scaled
from apportion_common.ids import lane_of
from apportion_common.instants import us_of_datetime
from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_pricing import limits
from apportion_pricing.domain.accounts import BillingAccount
from apportion_pricing.domain.engine_mode import EngineMode
from apportion_pricing.domain.records import ChargeCursor, ChargeRecord
from apportion_pricing.domain.terms_index import RateTerms
from apportion_pricing.store import tables
from apportion_pricing.store.positions import PositionKey

USAGE: Final = "usage"
"""The kind of a charge that an event has."""

_CHARGE: Final = BinaryCopy(
    "charge",
    (
        # What the charges of a segment have in common …
        "org_id",
        "billing_account_id",
        "mapping_id",
        "plan_id",
        "sku",
        "sku_type",
        "kind",
        "mode",
        "currency",
        "period",
        "billed_period",
        "included_revision",
        "price_revision",
        "tiers_revision",
        "catalog_revision",
        "orgs_revision",
        "lane",
        # … and what each has of its own.
        "pos",
        "seq",
        "event_time",
        "charge_id",
        "event_id",
        "project_id",
        "quantity",
        "quantity_before",
        "amount",
    ),
)
_SUMS: Final = f"""
    SELECT {scaled_sql("coalesce(sum(amount) FILTER (WHERE mode = 'live'), 0)")},
        {scaled_sql("coalesce(sum(amount) FILTER (WHERE mode <> 'live'), 0)")}
    FROM charge WHERE lane = %s AND org_id = %s AND sku = %s AND period = %s
"""
# pos, seq, event_time, charge_id and event_id, each behind its length.
_PLACE: Final = Struct(">iqiqiqi16si16s").pack
_quantity: Final = lru_cache(limits.PACKED_QUANTITIES_MAX)(pack_numeric)


@dataclass(frozen=True, slots=True)
class ChargeConstants:
    """What all charges of one segment have in common."""

    org_id: bytes
    account: BillingAccount
    terms: RateTerms
    sku: str
    period: str
    mode: EngineMode
    catalog_revision: int
    orgs_revision: int
    lane: int
    billed_period: str = ""


class ChargeStore:
    """The table charge."""

    def constants(self, constants: ChargeConstants) -> bytes:
        """Pack what a segment's charges have in common, with the row's head."""
        account, terms = constants.account, constants.terms
        return b"".join(
            (
                _CHARGE.row_head,
                pack_uuid(constants.org_id),
                pack_uuid(account.account_id),
                pack_uuid(account.mapping_id),
                pack_uuid(terms.plan_id),
                pack_text(constants.sku),
                pack_text(terms.sku_type),
                pack_text(USAGE),
                pack_text(constants.mode),
                pack_text(terms.currency),
                pack_text(constants.period),
                pack_text(constants.billed_period) if constants.billed_period else NULL,
                pack_int8(terms.included_source.revision),
                pack_int8(terms.price_source.revision),
                pack_int8(terms.tiers_source.revision),
                pack_int8(constants.catalog_revision),
                pack_int8(constants.orgs_revision),
                pack_int4(constants.lane),
            )
        )

    def row(
        self,
        constants: bytes,
        batch_seq: int,
        charge_id: bytes,
        event_id: bytes,
        project_id: bytes,
        quantity: int,
        quantity_before: int,
        amount: int,
        event_time_us: int,
        entry_seq: int,
    ) -> bytes:
        """Pack one charge; quantities and the amount are scaled by 9 places."""
        place = _PLACE(8, batch_seq, 8, entry_seq, 8, event_time_us - POSTGRES_EPOCH_US, 16, charge_id, 16, event_id)
        project = UUID_HEAD + project_id if project_id else NULL
        return (
            constants
            + place
            + project
            + _quantity(quantity, QUANTITY_PLACES)
            + pack_numeric(quantity_before, QUANTITY_PLACES)
            + pack_numeric(amount, AMOUNT_PLACES)
        )

    async def write(self, tx: Transaction, rows: Sequence[bytes]) -> None:
        """Store packed charges. UniqueViolation when a place was charged before: the lane's fence is broken then."""
        await _CHARGE.write(await tx.raw(), rows)

    async def sums(self, tx: Transaction, lane: int, key: PositionKey) -> tuple[int, int]:
        """Return the sums of the amounts of a position's live charges and of its others, scaled by 9 places.

        It reads the lane's charges: nothing finds an organisation's faster, and a position needs it once at most.
        """
        org_id, sku, period = key
        rows = await (await tx.raw()).execute(_SUMS, (lane, UUID(bytes=org_id), sku, period))
        row = await rows.fetchone()
        assert row is not None
        return int(row[0]), int(row[1])

    async def page(
        self, connection: AsyncConnection, org_id: bytes | None, after: ChargeCursor | None, limit: int
    ) -> list[ChargeRecord]:
        """Return charges of an organisation, or of all, after a cursor; each lane in the order of entry_seq."""
        table = tables.charge
        place = (table.c.lane, table.c.seq, table.c.kind, table.c.ordinal)
        statement = select(table).order_by(*place).limit(limit)
        if org_id is not None:
            # An organisation's charges are all in its lane, in which the key finds their order.
            statement = statement.where(table.c.lane == lane_of(org_id), table.c.org_id == UUID(bytes=org_id))
        if after is not None:
            statement = statement.where(tuple_(*place) > tuple_(*after))
        rows = (await connection.execute(statement)).all()
        return [
            ChargeRecord(
                charge_id=row.charge_id.bytes,
                event_id=row.event_id.bytes if row.event_id is not None else None,
                cause_id=row.cause_id.bytes if row.cause_id is not None else None,
                org_id=row.org_id.bytes,
                project_id=row.project_id.bytes if row.project_id is not None else None,
                billing_account_id=row.billing_account_id.bytes,
                sku=row.sku,
                kind=row.kind,
                mode=row.mode,
                quantity=to_scaled(row.quantity, QUANTITY),
                quantity_before=to_scaled(row.quantity_before, QUANTITY_SUM),
                currency=row.currency,
                amount=to_scaled(row.amount, AMOUNT),
                event_time_us=us_of_datetime(row.event_time),
                period=row.period,
                billed_period=row.billed_period or "",
                lane=row.lane,
                batch_seq=row.pos,
                entry_seq=row.seq,
                ordinal=row.ordinal,
                catalog_revision=row.catalog_revision,
                orgs_revision=row.orgs_revision,
            )
            for row in rows
        ]
