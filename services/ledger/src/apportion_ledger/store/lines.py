"""Lines with their keys, written by binary COPY: the hot path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from apportion_common.db.copy import (
    NULL,
    UUID_HEAD,
    BinaryCopy,
    pack_bool,
    pack_int2,
    pack_int8,
    pack_numeric,
    pack_text,
    pack_timestamptz,
)
from apportion_common.db.scaled import scaled_sql
from apportion_common.db.unit_of_work import Transaction
from apportion_common.decimals import AMOUNT_PLACES, PERCENT_PLACES
from apportion_common.ids import entry_id as derived_entry_id
from apportion_common.instants import us_of_datetime
from psycopg import errors as pg_errors
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

from apportion_ledger.domain.charges import Charge, LineRows
from apportion_ledger.domain.kinds import USAGE

_PLACES: Final = AMOUNT_PLACES
_UUID_OID: Final = 2950
_UUID_ARRAY_OID: Final = 2951
_KIND_USAGE: Final = pack_text(USAGE)
_HASH_HEAD: Final = b"\x00\x00\x00\x20"

_LINES: Final = BinaryCopy(
    "ledger_line",
    (
        "entry_id", "charge_id", "event_id", "kind", "org_id", "project_id", "billing_account_id", "mapping_id", "sku",
        "sku_type", "quantity", "currency", "amount_gross", "partner_id", "partner_from_account", "partner_pct",
        "partner_amount", "net", "period", "event_time", "content_hash", "seq", "catalog_revision", "orgs_revision",
        "ledger_revision", "lane", "pos",
    ),
)  # fmt: skip
_KEYS: Final = BinaryCopy("ledger_charge_key", ("charge_id", "content_hash", "entry_id"))

_pack_text: Final = lru_cache(maxsize=4_096)(pack_text)


@lru_cache(maxsize=4_096)
def _pack_quantity(value: int) -> bytes:
    return pack_numeric(value, _PLACES)


@lru_cache(maxsize=1_024)
def _pack_pct(value: int) -> bytes:
    return pack_numeric(value, PERCENT_PLACES)


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
        keys = [
            b"%b%b%b%b%b%b" % (head, line.charge.charge_id, _HASH_HEAD, line.charge_hash, uuid, line.entry_id)
            for group in rows
            for line in group.lines
        ]
        try:
            async with tx.savepoint():
                await _KEYS.write(raw, keys)
        except pg_errors.UniqueViolation:
            return False
        await _LINES.write(raw, _packed(rows, ledger_revision))
        return True

    async def stored_charges(self, tx: Transaction, charge_ids: Sequence[bytes]) -> dict[bytes, Charge]:
        """Return the charges that are written under these ids, to tell what differs; a rare path."""
        raw = await tx.raw()
        async with raw.cursor() as cursor:
            await cursor.execute(
                "SELECT charge_id, coalesce(event_id, cause_id), org_id, project_id, billing_account_id, mapping_id, "
                f"sku, sku_type, {scaled_sql('quantity')}, currency, {scaled_sql('amount_gross')}, event_time, period, "
                "seq FROM ledger_line WHERE entry_id = ANY(%s)",
                ([UUID(bytes=derived_entry_id(charge_id)) for charge_id in charge_ids],),
            )
            return {
                row[0].bytes: Charge(
                    row[0].bytes,
                    row[1].bytes,
                    row[2].bytes,
                    row[3].bytes if row[3] else b"",
                    row[4].bytes,
                    row[5].bytes,
                    row[6],
                    row[7],
                    int(row[8]),
                    row[9],
                    int(row[10]),
                    us_of_datetime(row[11]),
                    row[12],
                    row[13],
                )
                async for row in cursor
            }


async def _by_ids(tx: Transaction, query: str, ids: Sequence[bytes]) -> list[tuple[Any, ...]]:
    """Return the rows of a query whose one parameter is an array of ids, both ways in binary."""
    raw = await tx.raw()
    async with raw.cursor(binary=True) as cursor:
        cursor.adapters.register_dumper(_UuidArray, _UuidArrayDumper)
        await cursor.execute(query, (_UuidArray(b"".join(ids)),))
        return await cursor.fetchall()


def _packed(rows: Sequence[LineRows], ledger_revision: int) -> Iterator[bytes]:
    """Yield the rows in COPY's binary form. What a batch has in common is packed once."""
    head = _LINES.row_head + UUID_HEAD
    uuid, kind, hash_head = UUID_HEAD, _KIND_USAGE, _HASH_HEAD
    pack_quantity, text_field = _pack_quantity, _pack_text
    yes, no = pack_bool(True), pack_bool(False)
    for origin, lines in rows:
        tail = (
            pack_int8(origin.catalog_revision)
            + pack_int8(origin.orgs_revision)
            + pack_int8(ledger_revision)
            + (NULL if origin.lane is None else pack_int2(origin.lane))
            + (NULL if origin.batch_seq is None else pack_int8(origin.batch_seq))
        )
        for entry_id, charge, _, partner_id, from_account, pct, share, net, content_hash in lines:
            (charge_id, event_id, org_id, project_id, account_id, mapping_id, sku, sku_type, quantity, currency, gross,
             event_time_us, period, entry_seq) = charge  # fmt: skip
            yield b"".join((
                head, entry_id, uuid, charge_id, uuid, event_id, kind, uuid, org_id,
                uuid + project_id if project_id else NULL, uuid, account_id, uuid, mapping_id,
                text_field(sku), text_field(sku_type), pack_quantity(quantity), text_field(currency),
                pack_numeric(gross, _PLACES), uuid + partner_id if partner_id else NULL, yes if from_account else no,
                _pack_pct(pct), pack_numeric(share, _PLACES), pack_numeric(net, _PLACES), text_field(period),
                pack_timestamptz(event_time_us), hash_head, content_hash,
                NULL if entry_seq is None else pack_int8(entry_seq), tail,
            ))  # fmt: skip
