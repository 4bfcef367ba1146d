"""Lines: written by binary COPY, read for lists, digests and sums."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import psycopg
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
from apportion_common.db.unit_of_work import Transaction
from apportion_common.decimals import AMOUNT_PLACES, PERCENT_PLACES
from apportion_common.ids import charge_id as derived_charge_id
from apportion_common.ids import entry_id as derived_entry_id
from psycopg import errors as pg_errors
from psycopg import sql
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_ledger.app.ports import (
    Charge,
    GrossSum,
    LineQuery,
    LineRows,
    LineSum,
    Scope,
    StoredLine,
    SummaryQuery,
)
from apportion_ledger.limits import DIGEST_PAGE_LINES, REPORT_TIMEOUT_MS
from apportion_ledger.store.instants import optional_datetime, scaled, to_datetime, to_us
from apportion_ledger.store.tables import DIGEST_KINDS

_PLACES: Final = AMOUNT_PLACES
_UUID_OID: Final = 2950
_UUID_ARRAY_OID: Final = 2951
_KIND_USAGE: Final = pack_text("usage")
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
        """The array in PostgreSQL's binary form: one dimension, no nulls."""
        count = len(obj) // 16
        head = b"".join(n.to_bytes(4, "big") for n in (1, 0, _UUID_OID, count, 1))
        return head + b"".join(UUID_HEAD + obj[start : start + 16] for start in range(0, len(obj), 16))


class LineTable:
    """Writes lines with their keys; the hot path."""

    async def known(self, tx: Transaction, charge_ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """The content hashes of those of the charges that stand."""
        rows = await _by_ids(
            tx,
            "SELECT uuid_send(charge_id), content_hash FROM ledger_charge_key WHERE charge_id = ANY(%b)",
            charge_ids,
        )
        return {bytes(charge_id): bytes(content_hash) for charge_id, content_hash in rows}

    async def write(self, tx: Transaction, rows: Sequence[LineRows], ledger_revision: int) -> bool:
        """Copy keys and lines in; False, and nothing written, when another transaction wrote one of the keys."""
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
        """The charges of the lines that stand under these ids, to tell what differs; a rare path."""
        raw = await tx.raw()
        async with raw.cursor() as cursor:
            await cursor.execute(
                f"SELECT charge_id, event_id, org_id, project_id, billing_account_id, mapping_id, sku, sku_type, "
                f"{scaled('quantity')}, currency, {scaled('amount_gross')}, event_time, period, seq "
                "FROM ledger_line WHERE entry_id = ANY(%s)",
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
                    to_us(row[11]),
                    row[12],
                    row[13],
                )
                async for row in cursor
            }


async def _by_ids(tx: Transaction, query: str, ids: Sequence[bytes]) -> list[tuple[Any, ...]]:
    """Rows of a query whose one parameter is an array of ids, both ways in binary."""
    raw = await tx.raw()
    async with raw.cursor(binary=True) as cursor:
        cursor.adapters.register_dumper(_UuidArray, _UuidArrayDumper)
        await cursor.execute(query, (_UuidArray(b"".join(ids)),))
        return await cursor.fetchall()


def _packed(rows: Sequence[LineRows], ledger_revision: int) -> Iterator[bytes]:
    """The rows in COPY's binary form. What a batch has in common is packed once."""
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
                pack_timestamptz(event_time_us), hash_head, content_hash, NULL if entry_seq is None else pack_int8(entry_seq), tail,
            ))  # fmt: skip


# A report over all lines may take longer than a call of the hot path, and so may whoever reads it.
_TAKE_TIME: Final = sql.SQL(
    "SELECT set_config('statement_timeout', {time}, true),"
    " set_config('idle_in_transaction_session_timeout', {time}, true)"
).format(time=sql.Literal(str(REPORT_TIMEOUT_MS)))
_LINE_COLUMNS: Final = f"""
    l.entry_id, l.charge_id, l.event_id, l.kind, l.org_id, l.project_id, l.billing_account_id, l.sku,
    {scaled("l.quantity")} AS quantity, l.currency, {scaled("l.amount_gross")} AS gross, l.partner_id,
    l.partner_from_account, {scaled("l.partner_pct", PERCENT_PLACES)} AS pct, {scaled("l.partner_amount")} AS share,
    {scaled("l.net")} AS net, l.event_time, l.posted_at, {scaled("coalesce(s.amount, 0)")} AS real_time_paid,
    coalesce(l.lane, 0) AS lane, coalesce(l.pos, 0) AS pos, coalesce(l.seq, 0) AS seq
"""
_LINE_SOURCE: Final = """
    FROM ledger_line AS l LEFT JOIN settlement AS s ON s.entry_id = l.entry_id AND s.state <> 'void'
"""


class LineView:
    """Reads lines."""

    async def page(
        self, connection: AsyncConnection, query: LineQuery, after: UUID | None, limit: int
    ) -> list[StoredLine]:
        """At most `limit` lines of the query by entry id, from the one after `after` on."""
        wanted: dict[str, object] = {
            "l.org_id = :org_id": query.org_id,
            "l.project_id = :project_id": query.project_id,
            "l.sku = :sku": query.sku,
            "l.partner_id = :partner_id": query.partner_id,
            "l.billing_account_id = :billing_account_id": query.billing_account_id,
            "l.event_time >= :from_time": optional_datetime(query.from_us),
            "l.event_time < :until_time": optional_datetime(query.until_us),
            "l.entry_id > :after": after,
        }
        conditions = {condition: value for condition, value in wanted.items() if value is not None}
        parameters = {condition.rpartition(":")[2]: value for condition, value in conditions.items()}
        if query.event_id is not None:
            # The id of a lane's line follows from its event's, so that the key finds it; only others need an index.
            conditions[
                "(l.entry_id = ANY(CAST(:entry_ids AS uuid[])) OR (l.lane IS NULL AND l.event_id = :event_id))"
            ] = True
            parameters["event_id"] = query.event_id
            parameters["entry_ids"] = [
                UUID(bytes=derived_entry_id(derived_charge_id(query.event_id.bytes, kind))) for kind in DIGEST_KINDS
            ]
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        statement = text(f"SELECT {_LINE_COLUMNS} {_LINE_SOURCE} {where} ORDER BY l.entry_id LIMIT :most")
        rows = await connection.execute(statement, {**parameters, "most": limit})
        return [_stored_line(row) for row in rows]

    async def by_charge(self, connection: AsyncConnection, charge_ids: Sequence[bytes]) -> list[StoredLine]:
        """The lines of these charges."""
        rows = await connection.execute(
            text(f"SELECT {_LINE_COLUMNS} {_LINE_SOURCE} WHERE l.entry_id = ANY(CAST(:ids AS uuid[]))"),
            {"ids": [UUID(bytes=derived_entry_id(charge_id)) for charge_id in charge_ids]},
        )
        return [_stored_line(row) for row in rows]

    async def digests(self, connection: AsyncConnection, scope: Scope) -> AsyncIterator[list[tuple[bytes, bytes]]]:
        """Charge id and content hash of the scope's lines by charge id, in pages of DIGEST_PAGE_LINES."""
        where, parameters = _scope(scope)
        raw = await _driver(connection)
        statement = f"SELECT uuid_send(charge_id), content_hash FROM ledger_line WHERE {where} ORDER BY charge_id"
        await raw.execute(_TAKE_TIME)
        async with raw.cursor(name="line_digests", binary=True) as cursor:
            cursor.itersize = DIGEST_PAGE_LINES
            await cursor.execute(statement, parameters)
            while rows := await cursor.fetchmany(DIGEST_PAGE_LINES):
                yield [(bytes(charge_id), bytes(content_hash)) for charge_id, content_hash in rows]

    async def gross(self, connection: AsyncConnection, scope: Scope, most: int) -> list[GrossSum]:
        """The scope's gross per organisation, SKU, period and currency, at most `most` of them."""
        where, parameters = _scope(scope)
        raw = await _driver(connection)
        async with raw.cursor() as cursor:
            await cursor.execute(
                f"SELECT org_id, sku, period, currency, count(*), {scaled('sum(quantity)')}, "
                f"{scaled('sum(amount_gross)')} FROM ledger_line WHERE {where} "
                'GROUP BY org_id, sku, period, currency ORDER BY org_id, sku COLLATE "C", period, currency '
                "LIMIT %(most)s",
                {**parameters, "most": most},
            )
            return [GrossSum(row[0], row[1], row[2], row[3], row[4], int(row[5]), int(row[6])) async for row in cursor]

    async def summary(self, connection: AsyncConnection, query: SummaryQuery, most: int) -> list[LineSum]:
        """The account's lines for an invoice, summed; at most `most` sums."""
        rows = await connection.execute(
            _SUMMARY,
            {
                "account": query.billing_account_id,
                "horizon": str(query.watermark),
                "until": to_datetime(query.until_us),
                "previous_horizon": str(query.previous_watermark),
                "previous_until": optional_datetime(query.previous_until_us),
                "most": most,
            },
        )
        return [LineSum._make((*row[:9], int(row.quantity), int(row.gross), int(row.share))) for row in rows]


_SUMMARY: Final = text(
    f"""
    SELECT org_id, project_id, sku, kind, currency, partner_id, partner_from_account, mapping_id, count(*),
        {scaled("sum(quantity)")} AS quantity, {scaled("sum(amount_gross)")} AS gross,
        {scaled("sum(partner_amount)")} AS share
    FROM ledger_line
    WHERE billing_account_id = :account AND event_time < :until AND posted_xid < CAST(:horizon AS xid8)
        AND NOT (posted_xid < CAST(:previous_horizon AS xid8)
            AND event_time < coalesce(CAST(:previous_until AS timestamptz), '-infinity'))
    GROUP BY org_id, project_id, sku, kind, currency, partner_id, partner_from_account, mapping_id
    ORDER BY org_id, project_id, sku COLLATE "C", kind, currency, partner_id, partner_from_account, mapping_id
    LIMIT :most
    """
)


def _scope(scope: Scope) -> tuple[str, dict[str, object]]:
    """The condition of a digest's lines, for psycopg, and its parameters."""
    conditions = ["kind = ANY(%(kinds)s)"]
    parameters: dict[str, object] = {"kinds": list(DIGEST_KINDS)}
    for column, value in zip(Scope._fields, scope, strict=True):
        if value is not None:
            conditions.append(f"{column} = %({column})s")
            parameters[column] = value
    return " AND ".join(conditions), parameters


async def _driver(connection: AsyncConnection) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """The psycopg connection of a read-only transaction, which is begun if need be."""
    if not connection.in_transaction():
        await connection.begin()
    outer = await connection.get_raw_connection()
    driver = outer.driver_connection
    assert isinstance(driver, psycopg.AsyncConnection)
    return driver


def _stored_line(row: Any) -> StoredLine:
    return StoredLine(
        entry_id=row.entry_id,
        charge_id=row.charge_id,
        event_id=row.event_id,
        kind=row.kind,
        org_id=row.org_id,
        project_id=row.project_id,
        billing_account_id=row.billing_account_id,
        sku=row.sku,
        quantity=int(row.quantity),
        currency=row.currency,
        gross=int(row.gross),
        partner_id=row.partner_id,
        partner_from_account=row.partner_from_account,
        pct=int(row.pct),
        share=int(row.share),
        net=int(row.net),
        event_time_us=to_us(row.event_time),
        posted_at_us=to_us(row.posted_at),
        real_time_paid=int(row.real_time_paid),
        lane=row.lane,
        batch_seq=row.pos,
        entry_seq=row.seq,
    )
