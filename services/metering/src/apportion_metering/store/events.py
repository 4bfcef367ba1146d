"""Events and their keys: a probe for what is known, then binary COPY of what is new, packed by hand.

The probe and the COPY take most of the writer's time, so both avoid an object per value: the probe's arrays are bytes
in PostgreSQL's own form, and rows are packed from the bytes that came in.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from struct import Struct
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
from apportion_common.db.copy import (
    NULL,
    POSTGRES_EPOCH_US,
    UUID_HEAD,
    BinaryCopy,
    pack_int2,
    pack_int8,
    pack_jsonb,
    pack_numeric,
    pack_text,
    pack_timestamptz,
    pack_uuid,
)
from apportion_common.db.unit_of_work import Transaction
from apportion_common.decimals import QUANTITY_PLACES
from psycopg import adapt, pq, sql
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_metering.domain.dedupe import CONTENT_HASH_BYTES
from apportion_metering.domain.entries import ORG_ID_BYTES, EventGroup, TakenEvent
from apportion_metering.domain.progress import KnownEvent
from apportion_metering.limits import PACKED_VALUES_MAX

_UUID_OID: Final = 2950
_UUID_ARRAY_OID: Final = 2951
_TEXT_OID: Final = 25
_TEXT_ARRAY_OID: Final = 1009
_ARRAY_HEAD: Final = Struct(">iiIii").pack
_LENGTH: Final = Struct(">i").pack
_TIME_REQUEST: Final = Struct(">iqi").pack
_SEQ: Final = Struct(">iq").pack

# LATERAL with LIMIT keeps the planner to one look into the index per id, whatever it believes the table's size to be.
_PROBE: Final = sql.SQL(
    "SELECT p.n, k.content_hash FROM unnest(%b, %b) WITH ORDINALITY AS p(org_id, request_id, n) CROSS JOIN LATERAL"
    " (SELECT content_hash FROM metering_event_key AS key"
    " WHERE key.org_id = p.org_id AND key.request_id = p.request_id LIMIT 1) AS k"
)
_MOVE: Final = (
    "UPDATE metering_event_key AS key SET pos = %s, seq = m.seq"
    " FROM unnest(%s::uuid[], %s::text[], %s::bigint[]) AS m(org_id, request_id, seq)"
    " WHERE key.org_id = m.org_id AND key.request_id = m.request_id"
)
_STATUS: Final = text(
    "SELECT k.request_id, k.event_id, k.lane, k.pos AS batch_seq, k.seq AS entry_seq,"
    " coalesce(d.state, '') AS dead_letter_state, coalesce(d.reason, '') AS dead_letter_reason,"
    " coalesce(d.taken_attempt = d.requeue_attempt, false) AS dead_letter_taken"
    " FROM metering_event_key AS k LEFT JOIN dead_letter AS d"
    " ON d.org_id = k.org_id AND d.request_id = k.request_id AND d.content_hash = k.content_hash"
    " WHERE k.org_id = :org_id AND k.request_id = ANY(:request_ids)"
)

_EVENTS: Final = BinaryCopy(
    "metering_event",
    (
        # What the events of a group have in common …
        "org_id",
        "project_id",
        "sku",
        "source",
        # … and what each has of its own.
        "event_id",
        "quantity",
        "event_time",
        "request_id",
        "seq",
        "received_at",
        "lane",
        "pos",
        "metadata",
    ),
)
_KEYS: Final = BinaryCopy(
    "metering_event_key", ("org_id", "request_id", "content_hash", "event_id", "seq", "lane", "pos")
)


class KeyTaken(Exception):
    """An id was claimed by another transaction between the probe and the COPY."""


class NewEvent(NamedTuple):
    """An event to store under its entry number."""

    event: TakenEvent
    event_id: bytes
    received_at_us: int
    entry_seq: int


class NewKey(NamedTuple):
    """An id to claim whose event is not stored."""

    name: bytes
    """The organisation's id and the request id in UTF-8, joined."""
    content_hash: bytes
    event_id: bytes


class NewRows(NamedTuple):
    """What a batch of a lane adds."""

    lane: int
    batch_seq: int
    events: Sequence[NewEvent]
    keys: Sequence[NewKey]


class _Packed:
    """An array parameter in PostgreSQL's binary form."""

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        self.raw = raw


class _UuidArray(_Packed):
    """uuid[]."""

    __slots__ = ()


class _TextArray(_Packed):
    """text[]."""

    __slots__ = ()


class _PackedDumper(adapt.Dumper):
    """Passes a packed array to the driver as it is."""

    format = pq.Format.BINARY

    def dump(self, obj: _Packed) -> bytes:
        """Return the bytes themselves."""
        return obj.raw


class _UuidArrayDumper(_PackedDumper):
    oid = _UUID_ARRAY_OID


class _TextArrayDumper(_PackedDumper):
    oid = _TEXT_ARRAY_OID


psycopg.adapters.register_dumper(_UuidArray, _UuidArrayDumper)
psycopg.adapters.register_dumper(_TextArray, _TextArrayDumper)


class EventStore:
    """metering_event and metering_event_key."""

    def __init__(self) -> None:
        self._groups: dict[EventGroup, bytes] = {}
        self._quantities: dict[int, bytes] = {}

    async def known(self, tx: Transaction, names: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the content hashes of those ids (16 bytes of org, then the request id in UTF-8) that are claimed."""
        connection = await tx.raw()
        async with connection.cursor(binary=True) as cursor:
            await cursor.execute(_PROBE, _probe_arrays(names), prepare=False)
            return {names[n - 1]: digest for n, digest in await cursor.fetchall()}

    async def add(self, tx: Transaction, batches: Sequence[NewRows]) -> None:
        """Store the batches' events with their keys, and claim further keys. Raises KeyTaken, having done nothing."""
        connection = await tx.raw()
        # Never released: that would be a round trip more, and the transaction's end does it.
        await connection.execute("SAVEPOINT new_keys")
        try:
            await _KEYS.write(connection, [row for batch in batches for row in _key_rows(batch)])
        except psycopg.errors.UniqueViolation as error:
            await connection.execute("ROLLBACK TO SAVEPOINT new_keys")
            raise KeyTaken from error
        rows = [row for batch in batches for row in self._event_rows(batch.events, _place(batch.lane, batch.batch_seq))]
        if rows:
            await _EVENTS.write(connection, rows)

    async def add_without_keys(self, tx: Transaction, lane: int, batch_seq: int, events: Sequence[NewEvent]) -> None:
        """Store events whose keys are claimed already."""
        await _EVENTS.write(await tx.raw(), self._event_rows(events, _place(lane, batch_seq)))

    async def move(self, tx: Transaction, batch_seq: int, moved: Sequence[tuple[bytes, int]]) -> None:
        """Move keys (name, entry_seq) to a batch."""
        connection = await tx.raw()
        orgs = [UUID(bytes=name[:ORG_ID_BYTES]) for name, _ in moved]
        requests = [name[ORG_ID_BYTES:].decode() for name, _ in moved]
        await connection.execute(_MOVE, (batch_seq, orgs, requests, [entry_seq for _, entry_seq in moved]))

    async def status(self, connection: AsyncConnection, org_id: UUID, request_ids: Sequence[str]) -> list[KnownEvent]:
        """Return what is known of these ids of an organisation."""
        rows = await connection.execute(_STATUS, {"org_id": org_id, "request_ids": list(request_ids)})
        return [KnownEvent(**row) for row in rows.mappings()]

    def _event_rows(self, events: Sequence[NewEvent], batch: bytes) -> list[bytes]:
        """Return one packed row per event, in the order of _EVENTS."""
        groups, quantities = self._groups, self._quantities
        if len(groups) > PACKED_VALUES_MAX:
            groups.clear()
        if len(quantities) > PACKED_VALUES_MAX:
            quantities.clear()
        tails: dict[int, bytes] = {}
        rows = []
        for (name, group, quantity, time_us, _, metadata), event_id, at_us, entry_seq in events:
            packed_group = groups.get(group)
            if packed_group is None:
                packed_group = groups[group] = _pack_group(group)
            packed_quantity = quantities.get(quantity)
            if packed_quantity is None:
                packed_quantity = quantities[quantity] = pack_numeric(quantity, QUANTITY_PLACES)
            tail = tails.get(at_us)
            if tail is None:
                tail = tails[at_us] = pack_timestamptz(at_us) + batch
            request_id = name[ORG_ID_BYTES:]
            rows.append(
                b"%b%b%b%b%b%b%b%b"
                % (
                    packed_group,
                    event_id,
                    packed_quantity,
                    _TIME_REQUEST(8, time_us - POSTGRES_EPOCH_US, len(request_id)),
                    request_id,
                    _SEQ(8, entry_seq),
                    tail,
                    pack_jsonb(json.dumps(dict(metadata), ensure_ascii=False, sort_keys=True)) if metadata else NULL,
                )
            )
        return rows


def _pack_group(group: EventGroup) -> bytes:
    """Pack what the events of a group have in common, with the row's head before and the event id's length behind."""
    return b"".join(
        (
            _EVENTS.row_head,
            pack_uuid(group.org_id),
            pack_uuid(group.project_id),
            pack_text(group.sku),
            pack_int2(group.source),
            UUID_HEAD,
        )
    )


def _place(lane: int, batch_seq: int) -> bytes:
    """Pack a lane and a batch."""
    return pack_int2(lane) + pack_int8(batch_seq)


def _key_rows(of: NewRows) -> list[bytes]:
    """Return one packed row per id of a batch, in the order of _KEYS."""
    batch = _place(of.lane, of.batch_seq)
    head = _KEYS.row_head + UUID_HEAD
    hash_head = _LENGTH(CONTENT_HASH_BYTES)
    rows = [
        b"%b%b%b%b%b%b%b%b%b%b"
        % (
            head,
            event[0][:ORG_ID_BYTES],
            _LENGTH(len(event[0]) - ORG_ID_BYTES),
            event[0][ORG_ID_BYTES:],
            hash_head,
            event[4],
            UUID_HEAD,
            event_id,
            _SEQ(8, entry_seq),
            batch,
        )
        for event, event_id, _, entry_seq in of.events
    ]
    for name, content_hash, event_id in of.keys:
        request = _LENGTH(len(name) - ORG_ID_BYTES) + name[ORG_ID_BYTES:]
        rows.append(
            b"".join((head, name[:ORG_ID_BYTES], request, hash_head, content_hash, UUID_HEAD, event_id, NULL, batch))
        )
    return rows


def _probe_arrays(names: Sequence[bytes]) -> tuple[Any, Any]:
    """Return the ids as uuid[] and text[] parameters."""
    count = len(names)
    orgs = b"".join([UUID_HEAD + name[:16] for name in names])
    requests = b"".join([_LENGTH(len(name) - 16) + name[16:] for name in names])
    return (
        _UuidArray(_ARRAY_HEAD(1, 0, _UUID_OID, count, 1) + orgs),
        _TextArray(_ARRAY_HEAD(1, 0, _TEXT_OID, count, 1) + requests),
    )
