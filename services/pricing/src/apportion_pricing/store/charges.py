"""Charges, refusals and period closes: what rating decided. Charges go in by binary COPY, packed row by row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    pack_timestamptz,
    pack_uuid,
)
from apportion_common.db.unit_of_work import Transaction
from apportion_common.decimals import AMOUNT_PLACES, QUANTITY_PLACES
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from apportion_pricing.app.ports import ChargeConstants, ClosedPeriod, RefusedEvent
from apportion_pricing.store import tables

USAGE: Final = "usage"
REPEATED_QUANTITIES: Final = 4_096
"""Packed quantities that are kept: producers send the same few again and again."""

_CHARGE: Final = BinaryCopy(
    "charge",
    (
        # What the charges of a stretch have in common …
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
_REFUSAL: Final = BinaryCopy(
    "charge_refusal",
    (
        "catalog_revision",
        "orgs_revision",
        "lane",
        "event_id",
        "seq",
        "org_id",
        "sku",
        "event_time",
        "reason",
        "detail",
        "pos",
    ),
)
# pos, seq, event_time, charge_id and event_id, each behind its length.
_PLACE: Final = Struct(">iqiqiqi16si16s").pack
_quantity: Final = lru_cache(REPEATED_QUANTITIES)(pack_numeric)


class Charges:
    """The tables charge, charge_refusal and period_close."""

    def constants(self, constants: ChargeConstants) -> bytes:
        """Pack what a stretch's charges have in common, with the row's head."""
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
        """Store packed charges. UniqueViolation when an event was charged before: the lane's fence is broken then."""
        await _CHARGE.write(await tx.raw(), rows)

    async def write_refusals(
        self, tx: Transaction, lane: int, catalog_revision: int, orgs_revision: int, refused: Sequence[RefusedEvent]
    ) -> None:
        """Store refusals."""
        head = _REFUSAL.row_head + pack_int8(catalog_revision) + pack_int8(orgs_revision) + pack_int4(lane)
        rows = [
            b"".join(
                (
                    head,
                    pack_uuid(event.event_id),
                    pack_int8(event.entry_seq),
                    pack_uuid(event.org_id),
                    pack_text(event.sku),
                    pack_timestamptz(event.event_time_us),
                    pack_text(event.reason),
                    pack_text(event.detail),
                    pack_int8(event.batch_seq),
                )
            )
            for event in refused
        ]
        await _REFUSAL.write(await tx.raw(), rows)

    async def closed_periods(self, tx: Transaction, lane: int) -> Iterable[tuple[str, bytes | None]]:
        """The periods closed in a lane, each with its organisation or None for all."""
        table = tables.period_close
        rows = await tx.execute(select(table.c.period, table.c.org_id).where(table.c.lane == lane))
        return [(row.period, row.org_id.bytes if row.org_id is not None else None) for row in rows]

    async def write_closes(self, tx: Transaction, lane: int, closed: Sequence[ClosedPeriod]) -> None:
        """Store period closes; one that is there already stays as it was."""
        rows = [
            {
                "period": item.period,
                "lane": lane,
                "org_id": UUID(bytes=item.org_id) if item.org_id is not None else None,
                "pos": item.batch_seq,
                "seq": item.entry_seq,
            }
            for item in closed
        ]
        await tx.execute(insert(tables.period_close).on_conflict_do_nothing(), rows)
