"""The decision journal, and what it and the lanes' rows say about the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from apportion_common.db.unit_of_work import Transaction
from apportion_common.topology import INTAKE_SUBJECT, POSTED_RECEIPTS_ROLE, RATED_RECEIPTS_ROLE, WRITER_ROLE
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_metering.domain.progress import LaneState

_ADD: Final = (
    "INSERT INTO lane_journal (lane, pos, seq_from, seq_to, event_count, event_total)"
    " SELECT n.lane, n.pos, n.seq_from, n.seq_to, n.event_count, n.event_count + coalesce(before.event_total, 0)"
    " FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::int[])"
    " AS n(lane, pos, seq_from, seq_to, event_count)"
    " LEFT JOIN LATERAL (SELECT event_total FROM lane_journal AS j WHERE j.lane = n.lane AND j.pos = n.pos - 1"
    " LIMIT 1) AS before ON true"
)
# Two roles note receipts of the same batches, each several at once: both lock in the order of the batches.
_LOCKED: Final = (
    " JOIN lane_journal AS l ON l.lane = %s AND l.pos = r.pos ORDER BY l.pos FOR NO KEY UPDATE OF l) AS r"
    " WHERE j.lane = %s AND j.pos = r.pos"
)
_RATED: Final = (
    "UPDATE lane_journal AS j SET rated_at = clock_timestamp(), catalog_revision = r.catalog_revision,"
    " orgs_revision = r.orgs_revision, charge_count = r.charge_count, refusal_count = r.refusal_count"
    " FROM (SELECT r.* FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::int[], %s::int[])"
    f" AS r(pos, catalog_revision, orgs_revision, charge_count, refusal_count){_LOCKED}"
)
_POSTED: Final = (
    "UPDATE lane_journal AS j SET posted_at = clock_timestamp(), ledger_revision = r.ledger_revision,"
    " line_count = r.line_count, lines_digest = r.lines_digest"
    " FROM (SELECT r.* FROM unnest(%s::bigint[], %s::bigint[], %s::int[], %s::bytea[])"
    f" AS r(pos, ledger_revision, line_count, lines_digest){_LOCKED}"
)
_LANES: Final = text(
    "SELECT w.lane, w.stream_seq, w.pos AS batch_seq, coalesce(r.pos, 0) AS rated_batch_seq,"
    " coalesce(p.pos, 0) AS posted_batch_seq,"
    " coalesce(w.stopped_reason, r.stopped_reason, p.stopped_reason, '') AS stopped_reason"
    f" FROM lane AS w LEFT JOIN lane AS r ON r.lane = w.lane AND r.role = '{RATED_RECEIPTS_ROLE}'"
    f" LEFT JOIN lane AS p ON p.lane = w.lane AND p.role = '{POSTED_RECEIPTS_ROLE}'"
    f" WHERE w.role = '{WRITER_ROLE}' ORDER BY w.lane"
)
_EVENT_TOTAL: Final = text(
    "SELECT coalesce(sum(j.event_total), 0)::bigint FROM lane AS w"
    f" JOIN lane_journal AS j ON j.lane = w.lane AND j.pos = w.pos WHERE w.role = '{WRITER_ROLE}'"
)
_OPEN: Final = text("SELECT reason, count(*) AS number FROM dead_letter WHERE state = 'open' GROUP BY reason")
_WAITING: Final = text(
    f"SELECT count(*) FROM outbox WHERE published_at IS NULL AND starts_with(subject, '{INTAKE_SUBJECT}.')"
)


class JournalEntry(NamedTuple):
    """A batch as the writer committed it."""

    lane: int
    batch_seq: int
    seq_from: int
    seq_to: int
    event_count: int


class RatedReceipt(NamedTuple):
    """What pricing answered to a batch."""

    batch_seq: int
    catalog_revision: int
    orgs_revision: int
    charge_count: int
    rejection_count: int


class PostedReceipt(NamedTuple):
    """What the ledger answered to a batch."""

    batch_seq: int
    ledger_revision: int
    line_count: int
    lines_digest: bytes


class JournalStore:
    """lane_journal, and reading of lane, dead_letter and outbox."""

    async def add(self, tx: Transaction, entries: Sequence[JournalEntry]) -> None:
        """Note batches of different lanes; event_total goes on from the lane's batch before it."""
        connection = await tx.raw()
        columns = [list(column) for column in zip(*entries, strict=True)]
        await connection.execute(_ADD, columns)

    async def rated(self, tx: Transaction, lane: int, receipts: Sequence[RatedReceipt]) -> None:
        """Note pricing's answers."""
        columns = [list(column) for column in zip(*receipts, strict=True)]
        await (await tx.raw()).execute(_RATED, (*columns, lane, lane))

    async def posted(self, tx: Transaction, lane: int, receipts: Sequence[PostedReceipt]) -> None:
        """Note the ledger's answers."""
        columns = [list(column) for column in zip(*receipts, strict=True)]
        await (await tx.raw()).execute(_POSTED, (*columns, lane, lane))

    async def lanes(self, connection: AsyncConnection) -> list[LaneState]:
        """Return every lane's state."""
        return [LaneState(**row) for row in (await connection.execute(_LANES)).mappings()]

    async def event_total(self, connection: AsyncConnection) -> int:
        """Return the events stored, all time: the sum of the lanes' running sums."""
        return int((await connection.execute(_EVENT_TOTAL)).scalar_one())

    async def open_dead_letters(self, connection: AsyncConnection) -> dict[str, int]:
        """Return the number of open dead letters by reason."""
        return {row.reason: row.number for row in await connection.execute(_OPEN)}

    async def waiting_controls(self, connection: AsyncConnection) -> int:
        """Return the number of requeues and closes that are committed here and not on the stream yet."""
        return int((await connection.execute(_WAITING)).scalar_one())
