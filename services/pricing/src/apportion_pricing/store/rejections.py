"""Rejected events, in by binary COPY."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from apportion_common.db.copy import BinaryCopy, pack_int4, pack_int8, pack_text, pack_timestamptz, pack_uuid
from apportion_common.db.unit_of_work import Transaction

_REJECTION: Final = BinaryCopy(
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


class RejectedEvent(NamedTuple):
    """An event that could not be charged, at its place."""

    event_id: bytes
    entry_seq: int
    org_id: bytes
    sku: str
    event_time_us: int
    reason: str
    detail: str
    batch_seq: int


class RejectionStore:
    """The table charge_refusal."""

    async def write(
        self, tx: Transaction, lane: int, catalog_revision: int, orgs_revision: int, rejected: Sequence[RejectedEvent]
    ) -> None:
        """Store rejected events."""
        head = _REJECTION.row_head + pack_int8(catalog_revision) + pack_int8(orgs_revision) + pack_int4(lane)
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
            for event in rejected
        ]
        await _REJECTION.write(await tx.raw(), rows)
