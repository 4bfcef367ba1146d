"""Dead letters: made once per content of an id, requeued, opened again, discarded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from apportion.metering.v1.lane_pb2 import IntakeEvent
from apportion_common.db.unit_of_work import Transaction
from apportion_common.decimals import QUANTITY, to_scaled
from apportion_common.protos import pack_int
from sqlalchemy import ColumnElement, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_metering.app.ports import (
    Letter,
    LetterFilter,
    NewDeadLetter,
    RefusedEvent,
    RequeuedLetter,
    TakenLetter,
)
from apportion_metering.domain.dead_letters import NEVER_REQUEUED, OPEN, dead_letter_id
from apportion_metering.store.tables import dead_letter

_ADD: Final = (
    "INSERT INTO dead_letter"
    " (dead_letter_id, org_id, request_id, event_id, content_hash, reason, detail, payload, lane, seq)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)
_TAKE: Final = (
    "SELECT d.dead_letter_id, d.requeue_attempt, d.payload, coalesce(k.seq IS NOT NULL, false) AS stored"
    " FROM unnest(%s::uuid[], %s::int[]) AS wanted(id, attempt)"
    " JOIN dead_letter AS d ON d.dead_letter_id = wanted.id AND d.requeue_attempt = wanted.attempt"
    " LEFT JOIN metering_event_key AS k ON k.org_id = d.org_id AND k.request_id = d.request_id"
    " WHERE d.state = 'requeued' AND d.taken_attempt < wanted.attempt ORDER BY d.dead_letter_id FOR UPDATE OF d"
)
_MARK_TAKEN: Final = (
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
_REFUSED_AGAIN: Final = (
    "UPDATE dead_letter AS d SET state = 'open', attempts = d.attempts + 1, reason = r.reason, detail = r.detail,"
    " seq = r.seq, updated_at = clock_timestamp()"
    " FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::text[]) AS r(event_id, seq, reason, detail)"
    " WHERE d.event_id = r.event_id AND d.state = 'requeued' AND d.taken_attempt = d.requeue_attempt"
    " RETURNING d.event_id"
)
_REFUSED_EVENTS: Final = (
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


class DeadLetterStore:
    """dead_letter."""

    async def add(self, tx: Transaction, lane: int, letters: Sequence[NewDeadLetter]) -> None:
        """Add letters; one whose (org, request id, content) is there already changes nothing."""
        rows = [
            (
                UUID(bytes=letter.dead_letter_id),
                _uuid(letter.org_id),
                letter.request_id,
                _uuid(letter.event_id),
                letter.content_hash,
                letter.reason,
                letter.detail,
                letter.payload,
                lane,
                letter.entry_seq,
            )
            for letter in letters
        ]
        async with (await tx.raw()).cursor() as cursor:
            await cursor.executemany(_ADD, rows)

    async def take(self, tx: Transaction, wanted: Mapping[bytes, int]) -> dict[bytes, TakenLetter]:
        """Lock and give those letters that wait for exactly this requeue (id → attempt)."""
        sound = {letter_id: attempt for letter_id, attempt in wanted.items() if len(letter_id) == 16}
        ids = [UUID(bytes=letter_id) for letter_id in sound]
        rows = await (await tx.raw()).execute(_TAKE, (ids, list(sound.values())))
        return {
            letter_id.bytes: TakenLetter(attempt, bytes(payload), stored)
            for letter_id, attempt, payload, stored in await rows.fetchall()
        }

    async def mark_taken(self, tx: Transaction, taken: Sequence[tuple[bytes, int]]) -> None:
        """Note that the lane took these (id, attempt) up."""
        ids = [UUID(bytes=letter_id) for letter_id, _ in taken]
        await (await tx.raw()).execute(_MARK_TAKEN, (ids, [attempt for _, attempt in taken]))

    async def reopen(self, tx: Transaction, refused: Sequence[tuple[bytes, int, str, str]]) -> None:
        """Open taken letters (id, attempt, reason, detail) again, with one attempt more."""
        ids = [UUID(bytes=letter_id) for letter_id, _, _, _ in refused]
        attempts, reasons, details = ([row[column] for row in refused] for column in (1, 2, 3))
        await (await tx.raw()).execute(_REOPEN, (ids, attempts, reasons, details))

    async def refuse(
        self, tx: Transaction, lane: int, batch_seq: int, refused: Sequence[RefusedEvent]
    ) -> dict[str, int]:
        """Open the letters of requeued events again, make those of events refused for the first time."""
        connection = await tx.raw()
        by_id = {UUID(bytes=event.event_id): event for event in refused}
        again = await connection.execute(
            _REFUSED_AGAIN,
            (
                list(by_id),
                [event.entry_seq for event in by_id.values()],
                [event.reason for event in by_id.values()],
                [event.detail for event in by_id.values()],
            ),
        )
        known = {event_id for (event_id,) in await again.fetchall()}
        first_time = [event_id for event_id in by_id if event_id not in known]
        if first_time:
            rows = await connection.execute(_REFUSED_EVENTS, (lane, batch_seq, first_time))
            letters = [_letter_of(row, by_id[row[0]]) for row in await rows.fetchall()]
            if letters:
                await self.add(tx, lane, letters)
        return Counter(event.reason for event in by_id.values())

    async def requeue(self, tx: Transaction, letters: LetterFilter, most: int) -> list[RequeuedLetter]:
        """Send at most `most` open letters that match on their way, in the order of their lanes and places."""
        matching = (
            select(dead_letter.c.dead_letter_id, dead_letter.c.lane)
            .where(*_conditions(letters), dead_letter.c.state == OPEN, dead_letter.c.reason.not_in(NEVER_REQUEUED))
            .order_by(dead_letter.c.lane, dead_letter.c.seq.nulls_first(), dead_letter.c.created_at)
            .order_by(dead_letter.c.dead_letter_id)
            .limit(most)
            .with_for_update()
        )
        found = (await tx.execute(matching)).all()
        rows = await tx.execute(_REQUEUE, {"ids": [row.dead_letter_id for row in found]})
        attempts = {row.dead_letter_id: row.requeue_attempt for row in rows}
        return [RequeuedLetter(row.dead_letter_id.bytes, row.lane, attempts[row.dead_letter_id]) for row in found]

    async def discard(self, tx: Transaction, letters: LetterFilter, reason: str, most: int) -> list[UUID]:
        """Close at most `most` open letters that match, for good."""
        matching = (
            select(dead_letter.c.dead_letter_id)
            .where(*_conditions(letters), dead_letter.c.state == OPEN)
            .order_by(dead_letter.c.created_at, dead_letter.c.dead_letter_id)
            .limit(most)
            .with_for_update()
        )
        ids = list((await tx.execute(matching)).scalars())
        await tx.execute(_DISCARD, {"ids": ids, "reason": reason})
        return ids

    async def page(
        self, connection: AsyncConnection, letters: LetterFilter, after: tuple[datetime, UUID] | None, most: int
    ) -> list[Letter]:
        """Letters that match, oldest first, after a place."""
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
            .where(*_conditions(letters))
            .order_by(columns.created_at, columns.dead_letter_id)
            .limit(most)
        )
        if after is not None:
            statement = statement.where(tuple_(columns.created_at, columns.dead_letter_id) > after)
        return [Letter(**row) for row in (await connection.execute(statement)).mappings()]


def _conditions(letters: LetterFilter) -> list[ColumnElement[bool]]:
    """The filter's conditions."""
    conditions: list[ColumnElement[bool]] = []
    if letters.org_id is not None:
        conditions.append(dead_letter.c.org_id == letters.org_id)
    if letters.reason:
        conditions.append(dead_letter.c.reason == letters.reason)
    if letters.dead_letter_ids:
        conditions.append(dead_letter.c.dead_letter_id.in_(letters.dead_letter_ids))
    if letters.state:
        conditions.append(dead_letter.c.state == letters.state)
    return conditions


def _uuid(raw: bytes | None) -> UUID | None:
    return UUID(bytes=raw) if raw else None


def _letter_of(row: Sequence[Any], refused: RefusedEvent) -> NewDeadLetter:
    """The letter of a stored event, in the form in which it came in."""
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
        refused.reason,
        refused.detail,
        event.SerializeToString(),
        refused.entry_seq,
    )
