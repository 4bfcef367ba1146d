"""Data migrations: rows changed in keyset chunks, each in one transaction with the row that says how far the run is.

A killed run is resumed from that row: what a chunk changed and the place after it are committed together, so each row
is changed once. Between chunks nothing is locked, and the run waits while replicas lag behind or the database is busy.
A service keeps its data migrations in migrations/data, one module each with a constant MIGRATION.
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from apportion_migrate.errors import MigrationError
from apportion_migrate.plan import package_folder
from apportion_migrate.sessions import apply_session_settings

CHUNK_ROWS: Final = 5_000
"""Rows of one chunk where a migration names no other number: some tens of milliseconds of locks."""
PAUSE_MS: Final = 20
"""Between two chunks, for those who waited."""
LOAD_POLL_MS: Final = 500
"""Between two looks at a load that is too high."""
LAG_BYTES_MAX: Final = 64 * 1024 * 1024
"""Write-ahead log that the slowest replica may be behind."""
BUSY_SESSIONS_MAX: Final = 40
"""Other sessions of the database that may be in a transaction."""
RETRIES_MAX: Final = 6
RETRY_MS: Final = 250
"""Before the first retry of a chunk; each next one waits twice as long."""
RETRIED_SQLSTATES: Final = frozenset({"55P03", "40P01", "40001", "23505"})
"""Lock not available, deadlock, serialization failure; and a row that another session was faster to write."""

FOLDER: Final = Path("migrations") / "data"

Key = Any
"""Where a chunk ended, as JSON: what the next one begins after; None is the beginning."""
State = Literal["new", "running", "paused", "done"]
EventKind = Literal["plan", "started", "chunk", "throttled", "retrying", "paused", "stopped", "done", "already"]

_NIL: Final = "00000000-0000-0000-0000-000000000000"
_READ: Final = "SELECT state, last_key, rows_done, rows_total FROM data_migration WHERE name = :name"
_BEGIN: Final = """
    INSERT INTO data_migration (name, state, rows_total) VALUES (:name, 'running', :total)
    ON CONFLICT (name) DO UPDATE SET state = 'running', updated_at = clock_timestamp()
        WHERE data_migration.state <> 'done'
"""
_ADVANCE: Final = """
    UPDATE data_migration SET state = :state, last_key = coalesce(CAST(:key AS jsonb), last_key),
        rows_done = rows_done + :rows, updated_at = clock_timestamp()
    WHERE name = :name
"""
_PAUSE: Final = """
    UPDATE data_migration SET state = 'paused', updated_at = clock_timestamp()
    WHERE name = :name AND state = 'running' RETURNING name
"""
# Only roles with pg_read_all_stats see positions; for others every replica's lag is unknown.
_LAG: Final = """
    SELECT count(*) AS replicas,
        max(pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(replay_lsn, flush_lsn, write_lsn, sent_lsn)))::bigint AS lag
    FROM pg_stat_replication
"""
# Every transaction holds a lock on its own virtual id, and every role may see locks: unlike sessions' states.
_BUSY: Final = """
    SELECT count(DISTINCT l.pid) FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.locktype = 'virtualxid' AND l.granted AND l.pid <> pg_backend_pid()
        AND a.datid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# A chunk finds its rows by their keys. Statistics of a table that is being changed mislead: one plan in a hundred would
# read it whole, or go through the chunk anew for each of its rows.
_BY_KEYS: Final = "SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)"
_NO_XID: Final = "SELECT pg_current_xact_id_if_assigned() IS NULL"


class DataMigrationError(MigrationError):
    """A data migration that cannot run, or a chunk that failed; what was committed before stays."""


class ChunkResult(NamedTuple):
    """Where a chunk ended (None: nothing was left to look at), and how many rows it changed."""

    last_key: Key | None
    rows_changed: int


class DataMigration(Protocol):
    """Rows of one service that are brought to what a revision expects.

    `chunk` looks at `chunk_rows` rows after a key in the order of the key, and changes those that are not yet as they
    should be: once more over the same rows changes nothing. It works in the caller's transaction and neither commits
    nor rolls back. `count` says how many rows are not yet as they should be, and only reads.
    """

    name: str
    service: str
    after_revision: str
    chunk_rows: int

    def count(self, connection: Connection) -> int:
        """Return rows that are still to be changed."""
        ...

    def chunk(self, connection: Connection, after_key: Key | None) -> ChunkResult:
        """Change the next rows."""
        ...


def next_page(connection: Connection, table: str, key: str, after_key: Key | None, rows: int) -> dict[str, Any] | None:
    """Return the next page of a table in the order of a column of UUIDs, as the parameters of `in_page`; None at
    its end.

    `after_key` is the `last` of the page before, None for the first one. A page ends with a key: where several rows
    have the last one, it has them all, and more than `rows`.
    """
    # The lowest UUID is an id like any other: nothing less could stand for the beginning.
    page = {"after": after_key or _NIL, "first": after_key is None}
    # Names of a migration's own.
    statement = f"""
        SELECT {key}::text FROM (
            SELECT {key} FROM {table} WHERE {_after(key)} ORDER BY {key} LIMIT :rows
        ) AS page ORDER BY page.{key} DESC LIMIT 1
    """  # noqa: S608
    last = connection.execute(text(statement), page | {"rows": rows}).scalar_one_or_none()
    return None if last is None else page | {"last": last}


def in_page(column: str) -> str:
    """Return SQL that is true of the rows of a page by `next_page`, whose parameters it takes."""
    return f"{_after(column)} AND {column} <= CAST(:last AS uuid)"


def _after(column: str) -> str:
    return f"{column} >= CAST(:after AS uuid) AND (:first OR {column} > CAST(:after AS uuid))"


@dataclass(frozen=True, kw_only=True)
class Throttle:
    """How a run keeps out of others' way: a pause after each chunk, and limits above which it waits."""

    pause_ms: int = PAUSE_MS
    lag_bytes_max: int = LAG_BYTES_MAX
    busy_sessions_max: int = BUSY_SESSIONS_MAX
    poll_ms: int = LOAD_POLL_MS


class Load(NamedTuple):
    """The database's load: others in a transaction; how far the slowest replica is behind (None: none, or unknown)."""

    busy_sessions: int
    lag_bytes: int | None
    replicas: int

    def over(self, throttle: Throttle) -> str | None:
        """Return which limit is passed, None when none is."""
        if self.lag_bytes is not None and self.lag_bytes > throttle.lag_bytes_max:
            return f"a replica is {self.lag_bytes} bytes behind, more than {throttle.lag_bytes_max}"
        if self.busy_sessions > throttle.busy_sessions_max:
            return f"{self.busy_sessions} sessions are in a transaction, more than {throttle.busy_sessions_max}"
        return None


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a data migration is; `rows_total` is what there was to change when it first began.

    It is not `reached` while the revision that it comes after is still to be applied.
    """

    name: str
    service: str
    state: State
    rows_done: int
    rows_total: int | None
    reached: bool = True


@dataclass(frozen=True, slots=True)
class DataProgress:
    """Something that happened in a run, how far it is, and in how many seconds it may be done (None: unknown)."""

    kind: EventKind
    standing: Standing
    eta_s: int | None = None
    details: dict[str, str | int | None] = field(default_factory=dict)


def run(
    engine: Engine,
    migration: DataMigration,
    *,
    dry_run: bool = False,
    throttle: Throttle | None = None,
    on_progress: Callable[[DataProgress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> DataProgress:
    """Carry a data migration on to its end, or to a pause or stop; return the last thing that happened.

    `engine` connects as the database's owner. With `dry_run` it counts in a read-only transaction and changes nothing.
    `stop` is asked between chunks. Two runs of one migration take turns: each chunk begins where the row says. Raises
    DataMigrationError when the database is not at the migration's revision, or a chunk fails for good.
    """
    with engine.connect() as connection:
        apply_session_settings(connection, migration.service)
        return _Run(connection, migration, throttle or Throttle(), on_progress, stop).carry_on(dry_run=dry_run)


def status(engine: Engine, migrations: Iterable[DataMigration]) -> list[Standing]:
    """Return how far the data migrations of one service's database are; changes nothing."""
    with engine.connect() as connection:
        connection.execution_options(postgresql_readonly=True)
        return [_standing(connection, migration) for migration in migrations]


def pause(engine: Engine, migration: DataMigration) -> bool:
    """Have the run of a migration pause after its chunk, until it is run again; False when it is not running."""
    with engine.begin() as connection:
        apply_session_settings(connection, migration.service)
        if not _has_table(connection):
            return False
        return connection.execute(text(_PAUSE), {"name": migration.name}).first() is not None


def read_load(connection: Connection) -> Load:
    """Return the load that throttling looks at."""
    lag = connection.execute(text(_LAG)).one()
    busy = connection.execute(text(_BUSY)).scalar_one()
    return Load(int(busy), None if lag.lag is None else int(lag.lag), int(lag.replicas))


def load_migrations(service: str) -> list[DataMigration]:
    """Return the data migrations of an installed service, by name. Raises DataMigrationError for a module without
    one.
    """
    found: list[DataMigration] = []
    for file in sorted((package_folder(service) / FOLDER).glob("[a-z]*.py")):
        spec = importlib.util.spec_from_file_location(f"apportion_data_{service}_{file.stem}", file)
        if spec is None or spec.loader is None:
            raise DataMigrationError(f"{file} cannot be read.")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        migration = getattr(module, "MIGRATION", None)
        if migration is None or migration.service != service:
            raise DataMigrationError(f"{file} has no MIGRATION of {service}.")
        found.append(migration)
    return found


class _Run:
    """One run over a connection on which no transaction is open."""

    def __init__(
        self,
        connection: Connection,
        migration: DataMigration,
        throttle: Throttle,
        on_progress: Callable[[DataProgress], None],
        stop: Callable[[], bool],
    ) -> None:
        self._connection = connection
        self._migration = migration
        self._throttle = throttle
        self._on_progress = on_progress
        self._stop = stop
        self._started_at = time.monotonic()
        self._done_here = 0

    def carry_on(self, *, dry_run: bool) -> DataProgress:
        """Run chunk by chunk, until something ends the run."""
        connection = self._connection
        with connection.begin():
            present = _has_table(connection)
        if not present:
            raise DataMigrationError(
                f"{self._migration.name} comes after {self._migration.after_revision}, which {self._migration.service}"
                " has not reached."
            )
        if dry_run:
            return self._plan()
        standing = self._begin()
        if standing.state == "done":
            return self._tell("already", standing)
        self._tell("started", standing, **self._replicas())
        while True:
            if self._stop():
                return self._tell("stopped", standing)
            if not self._wait_for_calm(standing):
                continue
            before = time.monotonic()
            standing, end = self._next_chunk(standing)
            took_ms = round((time.monotonic() - before) * 1000)
            if end == "done":
                with connection.begin():
                    left = self._migration.count(connection)
                return self._tell("done", standing, left=left)
            if end == "paused":
                return self._tell("paused", standing)
            self._tell("chunk", standing, took_ms=took_ms)
            self._sleep_ms(self._throttle.pause_ms)

    def _plan(self) -> DataProgress:
        """Return what a run would change, found without changing anything: the server assigns no transaction id."""
        connection = self._connection
        connection.execution_options(postgresql_readonly=True)
        with connection.begin():
            standing = _standing(connection, self._migration)
            left = 0 if standing.state == "done" else self._migration.count(connection)
            if not connection.execute(text(_NO_XID)).scalar_one():
                raise DataMigrationError(f"The dry run of {self._migration.name} was given a transaction id.")
        return self._tell("plan", standing, rows_to_change=left, chunk_rows=self._migration.chunk_rows)

    def _begin(self) -> Standing:
        """Make or wake the row; a finished migration stays finished."""
        connection = self._connection
        with connection.begin():
            standing = _standing(connection, self._migration)
            total = self._migration.count(connection) if standing.state == "new" else None
            if standing.state != "done":
                connection.execute(text(_BEGIN), {"name": self._migration.name, "total": total})
            return _standing(connection, self._migration)

    def _next_chunk(self, before: Standing) -> tuple[Standing, str]:
        """Run one chunk and commit it with its place; try again where another session was blocking."""
        for attempt in range(1, RETRIES_MAX + 1):
            try:
                with self._connection.begin():
                    return self._chunk()
            except DBAPIError as error:
                sqlstate = getattr(error.orig, "sqlstate", None)
                if sqlstate not in RETRIED_SQLSTATES or attempt == RETRIES_MAX:
                    raise DataMigrationError(f"A chunk of {self._migration.name} failed: {error.orig}") from error
                self._tell("retrying", before, attempt=attempt, sqlstate=sqlstate)
                self._sleep_ms(RETRY_MS << (attempt - 1))
        raise AssertionError("The last attempt returns or raises.")

    def _chunk(self) -> tuple[Standing, str]:
        name = self._migration.name
        row = self._connection.execute(text(f"{_READ} FOR UPDATE"), {"name": name}).one()
        if row.state != "running":
            return _standing(self._connection, self._migration), row.state
        self._connection.execute(text(_BY_KEYS))
        result = self._migration.chunk(self._connection, row.last_key)
        state = "done" if result.last_key is None else "running"
        key = None if result.last_key is None else json.dumps(result.last_key)
        values = {"name": name, "state": state, "key": key, "rows": result.rows_changed}
        self._connection.execute(text(_ADVANCE), values)
        self._done_here += result.rows_changed
        return _standing(self._connection, self._migration), state

    def _wait_for_calm(self, standing: Standing) -> bool:
        """Wait while a limit is passed, and say so once; False when the run is told to stop meanwhile."""
        told = False
        while not self._stop():
            with self._connection.begin():
                over = read_load(self._connection).over(self._throttle)
            if over is None:
                return True
            if not told:
                self._tell("throttled", standing, reason=over)
                told = True
            self._sleep_ms(self._throttle.poll_ms)
        return False

    def _replicas(self) -> dict[str, str | int | None]:
        """Return what the run can see of replicas."""
        with self._connection.begin():
            load = read_load(self._connection)
        unseen = load.replicas > 0 and load.lag_bytes is None
        return {"replicas": load.replicas, **({"lag": "unknown: grant pg_read_all_stats"} if unseen else {})}

    def _tell(self, kind: EventKind, standing: Standing, **details: str | int | None) -> DataProgress:
        event = DataProgress(kind, standing, self._eta_s(standing), details)
        self._on_progress(event)
        return event

    def _eta_s(self, standing: Standing) -> int | None:
        """Return seconds for what is left, at the rate of this run."""
        if standing.state == "done":
            return 0
        if not self._done_here or standing.rows_total is None:
            return None
        elapsed_ms = round((time.monotonic() - self._started_at) * 1000)
        return max(standing.rows_total - standing.rows_done, 0) * elapsed_ms // self._done_here // 1000

    @staticmethod
    def _sleep_ms(duration_ms: int) -> None:
        time.sleep(duration_ms / 1000)


def _has_table(connection: Connection) -> bool:
    return connection.execute(text("SELECT to_regclass('data_migration') IS NOT NULL")).scalar_one() is True


def _standing(connection: Connection, migration: DataMigration) -> Standing:
    """Return how far a migration is, as its row says; new without a row."""
    row = None
    reached = _has_table(connection)
    if reached:
        row = connection.execute(text(_READ), {"name": migration.name}).one_or_none()
    if row is None:
        return Standing(migration.name, migration.service, "new", 0, None, reached)
    return Standing(migration.name, migration.service, row.state, row.rows_done, row.rows_total)
