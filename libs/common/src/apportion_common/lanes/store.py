"""The lane rows: acquire, fence, advance, renew, release."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from psycopg import generators, sql
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.lanes import limits, metrics
from apportion_common.lanes.errors import Fenced, LaneStopped
from apportion_common.lanes.model import LaneOutput
from apportion_common.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Acquired:
    """A lane as it was when this worker took it."""

    lane: int
    epoch: int
    stream_id: str
    stream_seq: int
    batch_seq: int
    next_entry_seq: int
    out_batch_seq: int


class HeldLane(NamedTuple):
    """What an owner remembers of a lane: the row must still say the same."""

    lane: int
    epoch: int
    cursor: int
    batch_seq: int
    next_entry_seq: int


class LaneMove(NamedTuple):
    """Where a lane's row moves to with a batch, and what is published of it on `subject`."""

    held: HeldLane
    stream_seq: int
    batch_seq: int
    next_entry_seq: int
    out_batch_seq: int
    outputs: Sequence[LaneOutput]
    subject: str


_CREATE = text(
    "INSERT INTO lane (role, lane, epoch, owner, stream_id, stream_seq, pos, next_seq, out_pos)"
    " SELECT :role, n, 0, '', '', 0, 0, 1, 0 FROM generate_series(0, CAST(:lanes AS int) - 1) AS n"
    " ON CONFLICT DO NOTHING"
)
# A process that is paused in mid-COPY holds its rows without end: neither idle_in_transaction_session_timeout nor
# statement_timeout ends a session that waits for the rest of what its client sends, and behind a pipeline the server
# has forgotten the first of them.
_LOOK = text(
    """
    WITH seen AS (
        INSERT INTO lane_worker (role, worker_id, seen_at) VALUES (:role, :worker, clock_timestamp())
        ON CONFLICT (role, worker_id) DO UPDATE SET seen_at = clock_timestamp()
    ), silent AS (
        SELECT count(pg_terminate_backend(pid)) AS ended
          FROM pg_stat_activity
         WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
           AND split_part(application_name, '/', 1) = split_part(current_setting('application_name'), '/', 1)
           AND state IN ('active', 'idle in transaction', 'idle in transaction (aborted)')
           AND wait_event_type = 'Client' AND wait_event = 'ClientRead'
           AND state_change < clock_timestamp() - make_interval(secs => :lease_s)
    ), others AS (
        SELECT count(*) AS live
          FROM lane_worker
         WHERE role = :role AND worker_id <> :worker
           AND seen_at > clock_timestamp() - make_interval(secs => :stale_s)
    )
    SELECT silent.ended, others.live,
           ARRAY(SELECT lane FROM lane
                  WHERE role = :role AND stopped_reason IS NOT NULL ORDER BY lane) AS stopped,
           ARRAY(SELECT stopped_reason FROM lane
                  WHERE role = :role AND stopped_reason IS NOT NULL ORDER BY lane) AS reasons,
           ARRAY(SELECT lane FROM lane
                  WHERE role = :role AND stopped_reason IS NULL AND lane <> ALL (CAST(:held AS int[]))
                    AND (lease_until < clock_timestamp() OR owner = :worker) ORDER BY lane) AS free
      FROM silent, others
    """
)
# A restarted worker of the same name takes its lanes back at once: the epoch fences what is left of it.
# A row that somebody holds is left for later: waiting for it would keep this worker from all other lanes.
_ACQUIRE = text(
    "UPDATE lane SET epoch = epoch + 1, owner = :worker,"
    " lease_until = clock_timestamp() + make_interval(secs => :lease_s)"
    " FROM (SELECT role, lane FROM lane WHERE role = :role AND lane = :lane AND stopped_reason IS NULL"
    " AND (lease_until < clock_timestamp() OR owner = :worker) FOR NO KEY UPDATE SKIP LOCKED) AS free"
    " WHERE lane.role = free.role AND lane.lane = free.lane"
    " RETURNING lane.lane, epoch, stream_id, stream_seq,"
    " pos AS batch_seq, next_seq AS next_entry_seq, out_pos AS out_batch_seq"
)
_ADOPT = text(
    "UPDATE lane SET stream_id = :stream_id WHERE role = :role AND lane = :lane AND epoch = :epoch AND stream_id = ''"
)
# What runs once a batch goes straight through the driver.
_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED; "
# The cursor is what this worker remembers, never re-read: a re-read one would let stale memory write.
_FENCE: Final = (
    "SELECT l.lane, l.pos, l.next_seq FROM lane AS l JOIN (VALUES {known}) AS k (lane, epoch, cursor)"
    " ON l.lane = k.lane AND l.epoch = k.epoch AND l.stream_seq = k.cursor"
    " WHERE l.role = {role} ORDER BY l.lane FOR NO KEY UPDATE OF l"
)
# Two statements and no pipeline: psycopg ends a pipeline with a message behind its last statement, at which the server
# forgets idle_in_transaction_session_timeout, and an owner that is paused there would keep its rows.
_OUTBOX: Final = (
    "INSERT INTO lane_outbox (role, lane, pos, part, part_count, subject, payload)"
    " SELECT %s, o.* FROM unnest(%s::int[], %s::bigint[], %s::smallint[], %s::smallint[], %s::text[], %b::bytea[]) AS o"
)
_ADVANCE: Final = (
    "UPDATE lane AS l SET stream_seq = m.stream_seq, pos = m.pos, next_seq = m.next_seq, out_pos = m.out_pos,"
    " lease_until = clock_timestamp() + make_interval(secs => %s)"
    " FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])"
    " AS m (lane, epoch, cursor, stream_seq, pos, next_seq, out_pos)"
    " WHERE l.role = %s AND l.lane = m.lane AND l.epoch = m.epoch AND l.stream_seq = m.cursor"
)
# A row that somebody holds is passed over: a batch under way renews the lease itself when it moves the row, and a
# renewal that waited would keep the rows that it has from all other batches. Passed over or not, the lane is this
# owner's as long as the committed row has its epoch; whoever took it in between is met by the fence.
_RENEW = text(
    "WITH held AS (SELECT * FROM"
    " unnest(CAST(:lanes AS int[]), CAST(:epochs AS bigint[]), CAST(:out_pos AS bigint[])) AS h(lane, epoch, out_pos)"
    "), free AS (SELECT l.lane, h.out_pos FROM lane AS l JOIN held AS h ON l.lane = h.lane AND l.epoch = h.epoch"
    " WHERE l.role = :role FOR NO KEY UPDATE OF l SKIP LOCKED"
    "), renewed AS (UPDATE lane SET lease_until = clock_timestamp() + make_interval(secs => :lease_s),"
    " out_pos = greatest(lane.out_pos, free.out_pos) FROM free WHERE lane.role = :role AND lane.lane = free.lane)"
    " SELECT l.lane FROM lane AS l JOIN held AS h ON l.lane = h.lane AND l.epoch = h.epoch WHERE l.role = :role"
)
_RELEASE = text(
    "UPDATE lane SET lease_until = '-infinity', out_pos = greatest(out_pos, :out_pos)"
    " WHERE role = :role AND lane = :lane AND epoch = :epoch"
)
_STOP = text(
    "UPDATE lane SET stopped_reason = :reason, lease_until = '-infinity'"
    " WHERE role = :role AND lane = :lane AND epoch = :epoch"
)
# Who locks a row writes its number into it.
_HOLDERS = text(
    "SELECT l.lane, k.pid FROM lane AS l JOIN pg_locks AS k ON k.locktype = 'transactionid' AND k.granted"
    " AND k.transactionid = l.xmax WHERE l.role = :role AND l.lane = ANY (CAST(:lanes AS int[])) ORDER BY l.lane"
)
_GONE = text("DELETE FROM lane_worker WHERE role = :role AND worker_id = :worker")
_UNPUBLISHED = text(
    "SELECT pos, part, part_count, payload FROM lane_outbox"
    " WHERE role = :role AND lane = :lane AND (pos, part) >= (:pos, :part) ORDER BY pos, part LIMIT :limit"
)
_PURGE = text(
    "DELETE FROM lane_outbox AS o USING lane AS l WHERE o.role = :role AND l.role = o.role AND l.lane = o.lane"
    " AND o.pos < l.out_pos AND o.created_at < clock_timestamp() - make_interval(hours => :hours)"
)


class LaneStore:
    """SQL on one role's lane rows."""

    def __init__(self, database: Database, role: str, worker_id: str, lease_s: float) -> None:
        self._database = database
        self._role = role
        self._worker = worker_id
        self._lease_s = lease_s
        self._role_literal = sql.Literal(role).as_string(None)

    async def create(self, lanes: int) -> None:
        """Make sure that the role's rows exist."""
        async with self._database.transaction() as tx:
            await tx.execute(_CREATE, {"role": self._role, "lanes": lanes})

    async def look(self, held: Sequence[int]) -> tuple[list[int], int, dict[int, str]]:
        """Show a sign of life; return lanes that may be taken, live workers, stopped lanes with their reasons.

        Ends sessions of this service whose client fell silent within a transaction, for longer than a lease.
        """
        parameters = {
            "role": self._role,
            "worker": self._worker,
            "held": list(held),
            "lease_s": self._lease_s,
            "stale_s": self._lease_s * limits.WORKER_STALE_LEASES,
        }
        async with self._database.transaction() as tx:
            found = (await tx.execute(_LOOK, parameters)).one()
        if found.ended:
            metrics.SILENT.labels(self._role).inc(found.ended)
            log.warning("lane.silent_sessions_ended", role=self._role, sessions=found.ended)
        return found.free, found.live + 1, dict(zip(found.stopped, found.reasons, strict=True))

    async def holders(self, lanes: Sequence[int]) -> dict[int, int]:
        """Return the server processes that hold the rows of lanes, as far as there are any."""
        async with self._database.read() as connection:
            rows = await connection.execute(_HOLDERS, {"role": self._role, "lanes": list(lanes)})
            return {row.lane: row.pid for row in rows}

    async def acquire(self, lane: int) -> Acquired | None:
        """Take a lane whose lease has run out; None when another was faster."""
        async with self._database.transaction() as tx:
            row = (
                await tx.execute(
                    _ACQUIRE,
                    {"role": self._role, "lane": lane, "worker": self._worker, "lease_s": self._lease_s},
                )
            ).one_or_none()
            return None if row is None else Acquired(**row._mapping)

    async def adopt_stream(self, held: Acquired, stream_id: str) -> None:
        """Bind a lane that never read to the stream it reads from now on."""
        async with self._database.transaction() as tx:
            await tx.execute(
                _ADOPT, {"role": self._role, "lane": held.lane, "epoch": held.epoch, "stream_id": stream_id}
            )

    async def fence(self, tx: Transaction, held: Sequence[HeldLane]) -> None:
        """Lock the rows of lanes, by number, if they are all still this owner's. Raises Fenced.

        Call it first in a transaction: then it begins in the same round trip.
        """
        driver = await tx.raw()
        begin = _BEGIN if driver.info.transaction_status == TransactionStatus.IDLE else ""
        known = ", ".join(f"({lane:d}, {epoch:d}, {cursor:d})" for lane, epoch, cursor, _, _ in held)
        query = begin + _FENCE.format(role=self._role_literal, known=known)
        async with driver.lock:
            driver.pgconn.send_query(query.encode())
            results = await driver.wait(generators.execute(driver.pgconn))
        found = results[-1]
        if found.status != ExecStatus.TUPLES_OK:
            raise error_from_result(found)
        rows = {
            int(found.get_value(row, 0) or 0): (int(found.get_value(row, 1) or 0), int(found.get_value(row, 2) or 0))
            for row in range(found.ntuples)
        }
        for lane, epoch, cursor, batch_seq, next_entry_seq in held:
            if lane not in rows:
                raise Fenced(f"{self._role} lane {lane}: epoch {epoch} or position {cursor} is no longer the row's")
            if rows[lane] != (batch_seq, next_entry_seq):
                raise Fenced(f"{self._role} lane {lane}: the row's numbers are not this owner's")

    async def advance(self, tx: Transaction, moves: Sequence[LaneMove]) -> None:
        """Write the outputs of lanes' batches and move their rows. Raises Fenced."""
        driver = await tx.raw()
        outputs = [
            (move.held.lane, output.batch_seq, output.part, output.part_count, move.subject, output.payload)
            for move in moves
            for output in move.outputs
        ]
        if outputs:
            columns = [list(column) for column in zip(*outputs, strict=True)]
            await driver.execute(_OUTBOX, (self._role, *columns), prepare=True)
        rows = [
            (*move.held[:3], move.stream_seq, move.batch_seq, move.next_entry_seq, move.out_batch_seq) for move in moves
        ]
        columns = [list(column) for column in zip(*rows, strict=True)]
        moved = await driver.execute(_ADVANCE, (self._lease_s, *columns, self._role), prepare=True)
        if moved.rowcount != len(moves):
            lanes = ", ".join(str(move.held.lane) for move in moves)
            raise Fenced(f"{self._role} lanes {lanes}: one was lost before the batch could be written")

    async def renew(self, held: Sequence[tuple[int, int, int]]) -> set[int]:
        """Extend the leases of (lane, epoch, out_batch_seq); return the lanes that are still held."""
        async with self._database.transaction() as tx:
            rows = await tx.execute(
                _RENEW,
                {
                    "role": self._role,
                    "lanes": [lane for lane, _, _ in held],
                    "epochs": [epoch for _, epoch, _ in held],
                    "out_pos": [out_batch_seq for _, _, out_batch_seq in held],
                    "lease_s": self._lease_s,
                },
            )
            return {row.lane for row in rows}

    async def release(self, lane: int, epoch: int, out_batch_seq: int) -> None:
        """Let a lane go, so that another worker need not wait for the lease to run out."""
        async with self._database.transaction() as tx:
            await tx.execute(_RELEASE, {"role": self._role, "lane": lane, "epoch": epoch, "out_pos": out_batch_seq})

    async def stop(self, lane: int, epoch: int, stopped: LaneStopped) -> None:
        """Mark a lane as stopped until an operator has looked."""
        async with self._database.transaction() as tx:
            await tx.execute(_STOP, {"role": self._role, "lane": lane, "epoch": epoch, "reason": stopped.reason})

    async def gone(self) -> None:
        """Take this worker off the list that the fair share counts."""
        async with self._database.transaction() as tx:
            await tx.execute(_GONE, {"role": self._role, "worker": self._worker})

    async def unpublished(self, connection: AsyncConnection, lane: int, batch_seq: int, part: int) -> list[LaneOutput]:
        """Return what was committed from a batch's part on, in order, a bounded number of messages at a time."""
        rows = await connection.execute(
            _UNPUBLISHED,
            {"role": self._role, "lane": lane, "pos": batch_seq, "part": part, "limit": limits.PUBLISH_BACKLOG},
        )
        return [LaneOutput(row.pos, bytes(row.payload), row.part, row.part_count) for row in rows]

    async def purge(self) -> int:
        """Delete outbox rows that were published longer ago than the retention; return how many."""
        async with self._database.transaction() as tx:
            return (await tx.execute(_PURGE, {"role": self._role, "hours": limits.OUTBOX_RETENTION_H})).rowcount
