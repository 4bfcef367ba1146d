"""Dead letters: made once per content of an id, requeued, opened again, discarded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from apportion.metering.v1.lane_pb2 import IntakeEvent
from apportion_common.db.unit_of_work import Transaction
from apportion_common.decimals import QUANTITY, to_scaled
from apportion_common.protos import pack_int
from sqlalchemy import ColumnElement, Row, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_metering.domain.dead_letters import (
    NEVER_REQUEUED,
    OPEN,
    DeadLetter,
    DeadLetterFilter,
    dead_letter_id,
)
from apportion_metering.store.tables import dead_letter

_ADD: Final = (
    "INSERT INTO dead_letter"
    " (dead_letter_id, org_id, request_id, event_id, content_hash, reason, detail, payload, lane, seq)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)
_CLAIM: Final = (
    "SELECT d.dead_letter_id, d.requeue_attempt, d.payload, coalesce(k.seq IS NOT NULL, false) AS stored"
    " FROM unnest(%s::uuid[], %s::int[]) AS wanted(id, attempt)"
    " JOIN dead_letter AS d ON d.dead_letter_id = wanted.id AND d.requeue_attempt = wanted.attempt"
    " LEFT JOIN metering_event_key AS k ON k.org_id = d.org_id AND k.request_id = d.request_id"
    " WHERE d.state = 'requeued' AND d.taken_attempt < wanted.attempt ORDER BY d.dead_letter_id FOR UPDATE OF d"
)
_MARK_CLAIMED: Final = (
    "UPDATE dead_letter AS d SET taken_attempt = t.attempt, updated_at = clock_timestamp()"
    " FROM unnest(%s::uuid[], %s::int[]) AS t(id, attempt)"
    " WHERE d.dead_letter_id = t.id AND d.requeue_attempt = t.attempt AND d.state = 'requeued'"
)
_REOPEN: Final = (
    "UPDATE dead_letter AS d SET state = 'open', attempts = d.attempts + 1, reason = r.reason, detail = r.detail,"
    " updated_at = clock_timestamp()"
    " FROM unnest(%s::uuid[], %s::int[], %s::text[], %s::text[]) AS r(id, attempt, reason, detail)"
    " WHERE d.dead_letter_id = r.id AND d.requeue_attempt = r.attempt AND d.state = 'requeued'"
)
_REJECT_AGAIN: Final = (
    "UPDATE dead_letter AS d SET state = 'open', attempts = d.attempts + 1, reason = r.reason, detail = r.detail,"
    " seq = r.seq, updated_at = clock_timestamp()"
    " FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::text[]) AS r(event_id, seq, reason, detail)"
    " WHERE d.event_id = r.event_id AND d.state = 'requeued' AND d.taken_attempt = d.requeue_attempt"
    " RETURNING d.event_id"
)
_REJECTED_EVENTS: Final = (
    "SELECT e.event_id, e.org_id, e.project_id, e.sku, e.quantity, e.source,"
    " (extract(epoch FROM e.event_time) * 1000000)::bigint AS event_time_us, e.request_id, e.metadata, k.content_hash"
    " FROM metering_event AS e"
    " JOIN metering_event_key AS k ON k.org_id = e.org_id AND k.request_id = e.request_id"
    " WHERE e.lane = %s AND e.pos = %s AND e.event_id = ANY(%s)"
)
_REQUEUE: Final = text(
    "UPDATE dead_letter SET state = 'requeued', requeue_attempt = requeue_attempt + 1, updated_at = clock_timestamp()"
    " WHERE dead_letter_id = ANY(:ids) RETURNING dead_letter_id, requeue_attempt"
)
_DISCARD: Final = text(
    "UPDATE dead_letter SET state = 'discarded', discard_reason = :reason, updated_at = clock_timestamp()"
    " WHERE dead_letter_id = ANY(:ids)"
)


class NewDeadLetter(NamedTuple):
    """A dead letter to add, unless the same content of the same id is one already."""

    dead_letter_id: bytes
    org_id: bytes | None
    request_id: str | None
    event_id: bytes | None
    content_hash: bytes | None
    reason: str
    detail: str
    payload: bytes
    entry_seq: int | None


class ClaimedDeadLetter(NamedTuple):
    """A requeued dead letter that the lane claims."""

    attempt: int
    payload: bytes
    stored: bool
    """Whether its event is in metering_event already."""


class RequeuedDeadLetter(NamedTuple):
    """A dead letter on its way back into its lane."""

    dead_letter_id: bytes
    lane: int
    attempt: int
    org_id: bytes | None
    reason: str
    event_time_us: int
    """Time of its event, where it names an organisation."""


class EventRejection(NamedTuple):
    """An event that pricing or the ledger rejected under its entry number."""

    event_id: bytes
    entry_seq: int
    reason: str
    detail: str


class DeadLetterStore:
    """dead_letter."""

    async def add(self, tx: Transaction, lane: int, dead_letters: Sequence[NewDeadLetter]) -> None:
        """Add dead letters; one whose (org, request id, content) is there already changes nothing."""
        rows = [
            (
                UUID(bytes=new.dead_letter_id),
                _uuid(new.org_id),
                new.request_id,
                _uuid(new.event_id),
                new.content_hash,
                new.reason,
                new.detail,
                new.payload,
                lane,
                new.entry_seq,
            )
            for new in dead_letters
        ]
        async with (await tx.raw()).cursor() as cursor:
            await cursor.executemany(_ADD, rows)

    async def claim(self, tx: Transaction, wanted: Mapping[bytes, int]) -> dict[bytes, ClaimedDeadLetter]:
        """Lock and return those dead letters that wait for exactly this requeue (id → attempt)."""
        sound = {raw_id: attempt for raw_id, attempt in wanted.items() if len(raw_id) == 16}
        ids = [UUID(bytes=raw_id) for raw_id in sound]
        rows = await (await tx.raw()).execute(_CLAIM, (ids, list(sound.values())))
        return {
            found_id.bytes: ClaimedDeadLetter(attempt, bytes(payload), stored)
            for found_id, attempt, payload, stored in await rows.fetchall()
        }

    async def mark_claimed(self, tx: Transaction, claimed: Sequence[tuple[bytes, int]]) -> None:
        """Note that the lane has claimed these (id, attempt)."""
        ids = [UUID(bytes=raw_id) for raw_id, _ in claimed]
        await (await tx.raw()).execute(_MARK_CLAIMED, (ids, [attempt for _, attempt in claimed]))

    async def reopen(self, tx: Transaction, failed: Sequence[tuple[bytes, int, str, str]]) -> None:
        """Open claimed dead letters (id, attempt, reason, detail) again, with one attempt more."""
        ids = [UUID(bytes=raw_id) for raw_id, _, _, _ in failed]
        attempts, reasons, details = ([row[column] for row in failed] for column in (1, 2, 3))
        await (await tx.raw()).execute(_REOPEN, (ids, attempts, reasons, details))

    async def reject(
        self, tx: Transaction, lane: int, batch_seq: int, rejections: Sequence[EventRejection]
    ) -> dict[str, int]:
        """Open the dead letters of requeued events again, make those of events rejected for the first time.

        Return how many by reason.
        """
        connection = await tx.raw()
        by_id = {UUID(bytes=rejection.event_id): rejection for rejection in rejections}
        again = await connection.execute(
            _REJECT_AGAIN,
            (
                list(by_id),
                [rejection.entry_seq for rejection in by_id.values()],
                [rejection.reason for rejection in by_id.values()],
                [rejection.detail for rejection in by_id.values()],
            ),
        )
        known = {event_id for (event_id,) in await again.fetchall()}
        first_time = [event_id for event_id in by_id if event_id not in known]
        if first_time:
            rows = await connection.execute(_REJECTED_EVENTS, (lane, batch_seq, first_time))
            dead_letters = [_dead_letter_of(row, by_id[row[0]]) for row in await rows.fetchall()]
            if dead_letters:
                await self.add(tx, lane, dead_letters)
        return Counter(rejection.reason for rejection in by_id.values())

    async def requeue(self, tx: Transaction, wanted: DeadLetterFilter, limit: int) -> list[RequeuedDeadLetter]:
        """Mark at most `limit` open dead letters that match as requeued; return them by lane and entry number."""
        columns = dead_letter.c
        place = (columns.lane, columns.seq.nulls_first(), columns.created_at, columns.dead_letter_id)
        found = sorted(
            await _lock_open(tx, [*_conditions(wanted), columns.reason.not_in(NEVER_REQUEUED)], place, limit),
            key=lambda row: (row.lane, row.seq is not None, row.seq, row.created_at, row.dead_letter_id),
        )
        rows = await tx.execute(_REQUEUE, {"ids": [row.dead_letter_id for row in found]})
        attempts = {row.dead_letter_id: row.requeue_attempt for row in rows}
        return [
            RequeuedDeadLetter(
                row.dead_letter_id.bytes,
                row.lane,
                attempts[row.dead_letter_id],
                row.org_id.bytes if row.org_id is not None else None,
                row.reason,
                IntakeEvent.FromString(row.payload).event_time_us if row.org_id is not None else 0,
            )
            for row in found
        ]

    async def discard(self, tx: Transaction, wanted: DeadLetterFilter, reason: str, limit: int) -> list[UUID]:
        """Close at most `limit` open dead letters that match, for good; return their ids."""
        oldest = (dead_letter.c.created_at, dead_letter.c.dead_letter_id)
        ids = [row.dead_letter_id for row in await _lock_open(tx, _conditions(wanted), oldest, limit)]
        await tx.execute(_DISCARD, {"ids": ids, "reason": reason})
        return ids

    async def page(
        self, connection: AsyncConnection, wanted: DeadLetterFilter, after: tuple[datetime, UUID] | None, limit: int
    ) -> list[DeadLetter]:
        """Return at most `limit` dead letters that match, oldest first, after a cursor (created at, id)."""
        columns = dead_letter.c
        statement = (
            select(
                columns.dead_letter_id,
                columns.org_id,
                columns.request_id,
                columns.reason,
                columns.detail,
                columns.payload,
                columns.attempts,
                columns.state,
                columns.lane,
                columns.created_at,
            )
            .where(*_conditions(wanted))
            .order_by(columns.created_at, columns.dead_letter_id)
            .limit(limit)
        )
        if after is not None:
            statement = statement.where(tuple_(columns.created_at, columns.dead_letter_id) > after)
        return [DeadLetter(**row) for row in (await connection.execute(statement)).mappings()]


async def _lock_open(
    tx: Transaction, conditions: Sequence[ColumnElement[bool]], order: Sequence[ColumnElement[Any]], limit: int
) -> Sequence[Row[Any]]:
    """Lock the first `limit` open dead letters that match, in the order of their ids, as everyone locks several.

    Those that somebody else takes meanwhile are left out.
    """
    columns = dead_letter.c
    conditions = [*conditions, columns.state == OPEN]
    first = select(columns.dead_letter_id).where(*conditions).order_by(*order).limit(limit)
    locked = (
        select(
            columns.dead_letter_id,
            columns.lane,
            columns.seq,
            columns.created_at,
            columns.org_id,
            columns.reason,
            columns.payload,
        )
        .where(*conditions, columns.dead_letter_id.in_(first))
        .order_by(columns.dead_letter_id)
        .with_for_update()
    )
    return (await tx.execute(locked)).all()


def _conditions(wanted: DeadLetterFilter) -> list[ColumnElement[bool]]:
    """Return the filter's conditions."""
    conditions: list[ColumnElement[bool]] = []
    if wanted.org_id is not None:
        conditions.append(dead_letter.c.org_id == wanted.org_id)
    if wanted.reason:
        conditions.append(dead_letter.c.reason == wanted.reason)
    if wanted.dead_letter_ids:
        conditions.append(dead_letter.c.dead_letter_id.in_(wanted.dead_letter_ids))
    if wanted.state:
        conditions.append(dead_letter.c.state == wanted.state)
    return conditions


def _uuid(raw: bytes | None) -> UUID | None:
    return UUID(bytes=raw) if raw else None


def _dead_letter_of(row: Sequence[Any], rejection: EventRejection) -> NewDeadLetter:
    """Return the dead letter of a stored event, in the form in which it came in."""
    event_id, org_id, project_id, sku, quantity, source, event_time_us, request_id, metadata, content_hash = row
    event = IntakeEvent(
        org_id=org_id.bytes,
        project_id=project_id.bytes if project_id else b"",
        request_id=request_id,
        sku=sku,
        quantity=pack_int(to_scaled(quantity, QUANTITY)),
        event_time_us=event_time_us,
        metadata=metadata or {},
        content_hash=content_hash,
        source=source,
    )
    return NewDeadLetter(
        dead_letter_id(event_id.bytes, content_hash),
        org_id.bytes,
        request_id,
        event_id.bytes,
        content_hash,
        rejection.reason,
        rejection.detail,
        event.SerializeToString(),
        rejection.entry_seq,
    )
