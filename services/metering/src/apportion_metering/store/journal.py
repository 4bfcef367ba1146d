"""The decision journal, and what it and the lane rows say about the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from apportion_common.db.unit_of_work import Transaction
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_metering.app.ports import JournalEntry, LanePlace, PostedReceipt, RatedReceipt

_ADD: Final = (
    "INSERT INTO lane_journal (lane, pos, seq_from, seq_to, event_count, event_total) VALUES"
    " (%(lane)s, %(pos)s, %(seq_from)s, %(seq_to)s, %(event_count)s, %(event_count)s + coalesce("
    "(SELECT event_total FROM lane_journal WHERE lane = %(lane)s AND pos = %(pos)s - 1), 0))"
)
_RATED: Final = (
    "UPDATE lane_journal AS j SET rated_at = clock_timestamp(), catalog_revision = r.catalog_revision,"
    " orgs_revision = r.orgs_revision, charge_count = r.charge_count, refusal_count = r.refusal_count"
    " FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::int[], %s::int[])"
    " AS r(pos, catalog_revision, orgs_revision, charge_count, refusal_count)"
    " WHERE j.lane = %s AND j.pos = r.pos"
)
_POSTED: Final = (
    "UPDATE lane_journal AS j SET posted_at = clock_timestamp(), ledger_revision = r.ledger_revision,"
    " line_count = r.line_count, lines_digest = r.lines_digest"
    " FROM unnest(%s::bigint[], %s::bigint[], %s::int[], %s::bytea[])"
    " AS r(pos, ledger_revision, line_count, lines_digest)"
    " WHERE j.lane = %s AND j.pos = r.pos"
)
_PLACES: Final = text(
    "SELECT w.lane, w.stream_seq, w.pos, coalesce(r.pos, 0) AS rated_pos, coalesce(p.pos, 0) AS posted_pos,"
    " coalesce(w.stopped_reason, r.stopped_reason, p.stopped_reason, '') AS stopped_reason"
    " FROM lane AS w LEFT JOIN lane AS r ON r.lane = w.lane AND r.role = 'metering_rated_receipts'"
    " LEFT JOIN lane AS p ON p.lane = w.lane AND p.role = 'metering_posted_receipts'"
    " WHERE w.role = 'metering_writer' ORDER BY w.lane"
)
_EVENT_TOTAL: Final = text(
    "SELECT coalesce(sum(j.event_total), 0)::bigint FROM lane AS w"
    " JOIN lane_journal AS j ON j.lane = w.lane AND j.pos = w.pos WHERE w.role = 'metering_writer'"
)
_OPEN: Final = text("SELECT reason, count(*) AS letters FROM dead_letter WHERE state = 'open' GROUP BY reason")
_WAITING: Final = text(
    "SELECT count(*) FROM outbox WHERE published_at IS NULL AND starts_with(subject, 'metering.in.')"
)


class JournalStore:
    """lane_journal, and reading of lane."""

    async def add(self, tx: Transaction, entry: JournalEntry) -> None:
        """Write a batch down; event_total goes on from the lane's batch before it."""
        await (await tx.raw()).execute(_ADD, entry._asdict())

    async def rated(self, tx: Transaction, lane: int, receipts: Sequence[RatedReceipt]) -> None:
        """Note pricing's answers."""
        columns = [list(column) for column in zip(*receipts, strict=True)]
        await (await tx.raw()).execute(_RATED, (*columns, lane))

    async def posted(self, tx: Transaction, lane: int, receipts: Sequence[PostedReceipt]) -> None:
        """Note the ledger's answers."""
        columns = [list(column) for column in zip(*receipts, strict=True)]
        await (await tx.raw()).execute(_POSTED, (*columns, lane))

    async def places(self, connection: AsyncConnection) -> list[LanePlace]:
        """Where every lane stands."""
        return [LanePlace(**row) for row in (await connection.execute(_PLACES)).mappings()]

    async def event_total(self, connection: AsyncConnection) -> int:
        """Events stored, all time: the sum of the lanes' running sums."""
        return int((await connection.execute(_EVENT_TOTAL)).scalar_one())

    async def open_dead_letters(self, connection: AsyncConnection) -> dict[str, int]:
        """Open dead letters by reason."""
        return {row.reason: row.letters for row in await connection.execute(_OPEN)}

    async def waiting_controls(self, connection: AsyncConnection) -> int:
        """Requeues and closes that are committed here and not on the stream yet."""
        return int((await connection.execute(_WAITING)).scalar_one())
