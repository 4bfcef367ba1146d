"""Lines with their keys, written by binary COPY: the hot path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any, Final
from uuid import UUID

import psycopg
from apportion_common.db.copy import (
    NULL,
    POSTGRES_EPOCH_US,
    UUID_HEAD,
    BinaryCopy,
    pack_bool,
    pack_int2,
    pack_int8,
    pack_numeric,
    pack_text,
    pack_uuid,
)
from apportion_common.db.scaled import scaled_sql
from apportion_common.db.unit_of_work import Transaction
from apportion_common.decimals import AMOUNT_PLACES, PERCENT_PLACES
from apportion_common.ids import entry_id as derived_entry_id
from apportion_common.instants import us_of_datetime
from psycopg import errors as pg_errors
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

from apportion_ledger.domain.attribution import Attribution, PorSubject
from apportion_ledger.domain.charges import Charge, ChargeGroup, LineRows

_PLACES: Final = AMOUNT_PLACES
_UUID_OID: Final = 2950
_UUID_ARRAY_OID: Final = 2951
_HASH_HEAD: Final = b"\x00\x00\x00\x20"

_LINES: Final = BinaryCopy(
    "ledger_line",
    (
        # What the lines of a group have in common, those of a batch, those of a partner and rate …
        "kind", "org_id", "project_id", "billing_account_id", "mapping_id", "sku", "sku_type", "currency", "period",
        "billed_period",
        "catalog_revision", "orgs_revision", "ledger_revision", "lane", "pos",
        "partner_id", "partner_from_account", "partner_pct",
        # … and what each has of its own.
        "entry_id", "charge_id", "event_id", "cause_id", "event_time", "content_hash", "seq", "quantity",
        "amount_gross", "partner_amount", "net",
    ),
)  # fmt: skip
_KEYS: Final = BinaryCopy("ledger_charge_key", ("charge_id", "content_hash", "entry_id"))

# entry_id, charge_id, event_id, cause_id, event_time and content_hash, each behind its length; null has the length -1.
_LINE_OF_EVENT: Final = Struct(">i16si16si16siiqi32s").pack
_LINE_OF_CAUSE: Final = Struct(">i16si16sii16siqi32s").pack


@lru_cache(maxsize=4_096)
def _pack_quantity(value: int) -> bytes:
    return pack_numeric(value, _PLACES)


class _UuidArray(bytes):
    """16-byte ids, one after the other, as a uuid[] parameter."""


class _UuidArrayDumper(Dumper):
    format = Format.BINARY
    oid = _UUID_ARRAY_OID

    def dump(self, obj: _UuidArray) -> Buffer:
        """Return the array in PostgreSQL's binary form: one dimension, no nulls."""
        count = len(obj) // 16
        head = b"".join(n.to_bytes(4, "big") for n in (1, 0, _UUID_OID, count, 1))
        return head + b"".join(UUID_HEAD + obj[start : start + 16] for start in range(0, len(obj), 16))


psycopg.adapters.register_dumper(_UuidArray, _UuidArrayDumper)


class LineStore:
    """Writes lines with their keys."""

    async def known(self, tx: Transaction, charge_ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the content hashes of those of the charges that are written."""
        rows = await _by_ids(
            tx,
            "SELECT uuid_send(charge_id), content_hash FROM ledger_charge_key WHERE charge_id = ANY(%b)",
            charge_ids,
        )
        return {bytes(charge_id): bytes(content_hash) for charge_id, content_hash in rows}

    async def write(self, tx: Transaction, rows: Sequence[LineRows], ledger_revision: int) -> bool:
        """Copy keys and lines in; False, and nothing written, when another transaction wrote a key."""
        raw = await tx.raw()
        head, uuid = _KEYS.row_head + UUID_HEAD, UUID_HEAD
        # In the keys' order: two that write the same charges at once wait for each other's first, never in a circle.
        keys = sorted(
            b"%b%b%b%b%b%b" % (head, line.charge.charge_id, _HASH_HEAD, line.charge_hash, uuid, line.entry_id)
            for group in rows
            for line in group.lines
        )
        # Never released: that would be a round trip more, and the transaction's end does it.
        await raw.execute("SAVEPOINT charge_keys")
        try:
            await _KEYS.write(raw, keys)
        except pg_errors.UniqueViolation:
            await raw.execute("ROLLBACK TO SAVEPOINT charge_keys")
            return False
        await _LINES.write(raw, _packed(rows, ledger_revision))
        return True

    async def stored_charges(self, tx: Transaction, charge_ids: Sequence[bytes]) -> dict[bytes, Charge]:
        """Return the charges that are written under these ids, to tell what differs; a rare path."""
        raw = await tx.raw()
        async with raw.cursor() as cursor:
            await cursor.execute(
                f"SELECT charge_id, event_id, cause_id, kind, org_id, project_id, billing_account_id, mapping_id, sku, "
                f"sku_type, {scaled_sql('quantity')}, currency, {scaled_sql('amount_gross')}, event_time, period, "
                "billed_period, seq "
                "FROM ledger_line WHERE entry_id = ANY(%s)",
                ([UUID(bytes=derived_entry_id(charge_id)) for charge_id in charge_ids],),
            )
            return {row[0].bytes: _stored_charge(row) async for row in cursor}


def _stored_charge(row: Sequence[Any]) -> Charge:
    """Return the charge of a row of `stored_charges`."""
    (charge_id, event_id, cause_id, kind, org_id, project_id, account_id, mapping_id, sku, sku_type, quantity, currency,
     gross, event_time, period, billed_period, entry_seq) = row  # fmt: skip
    project = project_id.bytes if project_id else b""
    group = ChargeGroup(
        kind,
        org_id.bytes,
        project,
        account_id.bytes,
        mapping_id.bytes,
        sku,
        sku_type,
        currency,
        period,
        billed_period or "",
    )
    event = event_id.bytes if event_id else b""
    cause = cause_id.bytes if cause_id else event
    at_us = us_of_datetime(event_time)
    return Charge(charge_id.bytes, event, cause, group, int(quantity), int(gross), at_us, entry_seq)


async def _by_ids(tx: Transaction, query: str, ids: Sequence[bytes]) -> list[tuple[Any, ...]]:
    """Return the rows of a query whose one parameter is an array of ids, both ways in binary."""
    raw = await tx.raw()
    async with raw.cursor(binary=True) as cursor:
        await cursor.execute(query, (_UuidArray(b"".join(ids)),))
        return await cursor.fetchall()


def _packed(rows: Sequence[LineRows], ledger_revision: int) -> Iterator[bytes]:
    """Yield the rows in COPY's binary form. What lines have in common is packed once."""
    groups: dict[ChargeGroup, bytes] = {}
    attributions: dict[int, bytes] = {}
    pack_quantity = _pack_quantity
    for origin, lines in rows:
        batch = (
            pack_int8(origin.catalog_revision)
            + pack_int8(origin.orgs_revision)
            + pack_int8(ledger_revision)
            + (NULL if origin.lane is None else pack_int2(origin.lane))
            + (NULL if origin.batch_seq is None else pack_int8(origin.batch_seq))
        )
        for entry_id, charge, _, found, share, net, content_hash in lines:
            charge_id, event_id, cause_id, group, quantity, gross, event_time_us, entry_seq = charge
            packed_group = groups.get(group)
            if packed_group is None:
                packed_group = groups[group] = _pack_group(group)
            # Terms hold each attribution once, for as long as this runs.
            attribution = attributions.get(id(found))
            if attribution is None:
                attribution = attributions[id(found)] = _pack_attribution(found)
            at = event_time_us - POSTGRES_EPOCH_US
            own = (
                _LINE_OF_EVENT(16, entry_id, 16, charge_id, 16, event_id, -1, 8, at, 32, content_hash)
                if event_id
                else _LINE_OF_CAUSE(16, entry_id, 16, charge_id, -1, 16, cause_id, 8, at, 32, content_hash)
            )
            yield b"".join((
                packed_group, batch, attribution, own, NULL if entry_seq is None else pack_int8(entry_seq),
                pack_quantity(quantity), pack_numeric(gross, _PLACES), pack_numeric(share, _PLACES),
                pack_numeric(net, _PLACES),
            ))  # fmt: skip


def _pack_group(group: ChargeGroup) -> bytes:
    return b"".join((
        _LINES.row_head, pack_text(group.kind), pack_uuid(group.org_id), pack_uuid(group.project_id),
        pack_uuid(group.account_id), pack_uuid(group.mapping_id), pack_text(group.sku), pack_text(group.sku_type),
        pack_text(group.currency), pack_text(group.period),
        pack_text(group.billed_period) if group.billed_period else NULL,
    ))  # fmt: skip


def _pack_attribution(found: Attribution) -> bytes:
    from_account = found.por_subject is PorSubject.ACCOUNT
    return pack_uuid(found.partner_id or b"") + pack_bool(from_account) + pack_numeric(found.pct, PERCENT_PLACES)
