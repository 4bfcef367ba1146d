"""What a revision must stand before it is let in: crashes at any point, and a look at the locks it takes.

The crash-point sweep runs a revision once in peace and writes down what others would find in the database at each
point. Then it runs it again and again in another database, crashing it at each point where that has changed, and just
before it changes: each run must get as far as the one before it and find the same. Between two such points nothing
reached the database, so a crash there is the same crash. The exhaustive sweep starts afresh for every single point.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import psycopg
from alembic import command
from alembic.config import Config
from apportion_migrate.catalog import Catalog, differences, read_catalog, read_model_catalog
from apportion_migrate.revision import LockClass
from apportion_migrate.sessions import migration_engine, psycopg_url
from sqlalchemy import Connection, Engine, MetaData, event

from apportion_dev.testing.databases import ServiceDatabase

STRONG_LOCK_MS_MAX: Final = 200
"""Longest time that a lock which stops writers or readers may be held on a table with rows."""
SAMPLE_S: Final = 0.005
SHOWN_CHARACTERS: Final = 160

STRENGTH: Final[Mapping[str, int]] = {
    "AccessShareLock": 0,
    "RowShareLock": 1,
    "RowExclusiveLock": 1,
    "ShareUpdateExclusiveLock": 2,
    "ShareLock": 3,
    "ShareRowExclusiveLock": 3,
    "ExclusiveLock": 4,
    "AccessExclusiveLock": 5,
}
"""Locks in the order of what they stop; from 3 on they stop writers."""
STRONG: Final = 3

ALLOWED: Final[Mapping[LockClass, int]] = {"none": 0, "row": 1, "share": 3, "exclusive-new": 0, "exclusive-short": 5}
"""The strongest lock on a table that had rows, by what a revision declares."""

Point = tuple[str, str, int]
"""A place in a run: the kind of event, its text, and which of several like it."""


class Crashed(RuntimeError):
    """The session was cut at the point that the sweep asked for."""


@dataclass(slots=True)
class Sweep:
    """What a sweep over one revision did and found."""

    points: int = 0
    """Statements and commits of the revision: the places where a run can end."""
    states: int = 0
    """Different things that others could find in the database on the way, the first and the last included."""
    crashes: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Held:
    """The strongest lock on a table that had rows, and how long strong ones were held, in ms of statements."""

    table: str
    mode: str
    strong_ms: int
    statement: str


@dataclass(frozen=True, slots=True)
class Trace:
    """What a revision did to the tables that had rows before it."""

    held: tuple[Held, ...]
    rewritten: tuple[str, ...]

    def problems(self, lock_class: LockClass) -> list[str]:
        """Return one line for each rewrite, each strong lock held too long, and each lock stronger than declared."""
        found = [f"{table} is rewritten" for table in self.rewritten]
        for held in self.held:
            if held.strong_ms > STRONG_LOCK_MS_MAX:
                found.append(f"{held.table} is under {held.mode} for {held.strong_ms} ms: {held.statement}")
            if STRENGTH[held.mode] > ALLOWED[lock_class]:
                found.append(f"{held.table} is under {held.mode}, but {lock_class} was declared: {held.statement}")
        return found


def crash_sweep(
    new_database: Callable[[], ServiceDatabase],
    config: Callable[[], Config],
    revision: str,
    *,
    exhaustive: bool = False,
) -> Sweep:
    """Crash a revision wherever it can end, and run it again.

    `new_database` returns databases at the revision's predecessor, `config` fresh configurations of its environment.
    The exhaustive sweep takes a database for each point, and as many full runs.
    """
    sweep = Sweep()
    peaceful = new_database()
    points, states = _peaceful_run(peaceful, config(), revision)
    final = _catalog(peaceful)
    sweep.points = len(points)
    sweep.states = 1 + sum(1 for before, after in zip(states, [*states[1:], final], strict=True) if before != after)
    if exhaustive:
        for point, expected in zip(points, states, strict=True):
            database = new_database()
            if _crash(sweep, database, config(), revision, point, expected):
                _finish(sweep, database, config(), revision, point, final)
        return sweep
    changes = [index for index in range(1, len(points)) if states[index] != states[index - 1]]
    chosen = sorted({0, len(points) - 1, *changes, *(index - 1 for index in changes)})
    database = new_database()
    for index in chosen:
        if not _crash(sweep, database, config(), revision, points[index], states[index]):
            return sweep
    _finish(sweep, database, config(), revision, points[-1], final)
    return sweep


def trace_locks(database: ServiceDatabase, config: Config, revision: str) -> Trace:
    """Run a revision on a database with rows, looking at its locks from another session all the while."""
    watcher = migration_engine(psycopg_url(database.owner_url)).connect()
    watcher.execution_options(isolation_level="AUTOCOMMIT")
    tables = _tables_with_rows(watcher)
    nodes = _file_nodes(watcher, tables)
    log: dict[int, Held] = {}
    held: dict[int, str] = {}
    with watcher, _session(database) as (engine, connection):
        pid = int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
        connection.commit()
        sampler = _Sampler(database, pid, tables)
        started = [0.0]

        def before(_c: Any, _k: Any, statement: str, *_: Any) -> None:
            sampler.begin()
            started[0] = time.perf_counter()

        def after(_c: Any, _k: Any, statement: str, *_: Any) -> None:
            took_ms = (time.perf_counter() - started[0]) * 1000
            during = sampler.end()
            now = _locks(watcher, pid, tables)
            for table, mode in _stronger(_stronger(held, during), now).items():
                _add(log, tables, table, mode, took_ms, statement)
            held.clear()
            held.update(now)

        event.listen(engine, "before_cursor_execute", before)
        event.listen(engine, "after_cursor_execute", after)
        event.listen(engine, "commit", lambda _connection: held.clear())
        try:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        finally:
            sampler.close()
        rewritten = [tables[oid] for oid, node in _file_nodes(watcher, tables).items() if node != nodes[oid]]
    return Trace(tuple(log.values()), tuple(sorted(rewritten)))


def shortest(traces: Sequence[Trace]) -> Trace:
    """Return the shortest time of each table under strong locks of several runs of a revision; the rest as found.

    A busy machine can only make a lock look longer, and not the same one each time.
    """
    held: dict[str, Held] = {}
    for each in (each for trace in traces for each in trace.held):
        known = held.setdefault(each.table, each)
        strongest = max(known, each, key=lambda one: STRENGTH[one.mode])
        held[each.table] = replace(strongest, strong_ms=min(known.strong_ms, each.strong_ms))
    return Trace(tuple(held.values()), tuple(sorted({table for trace in traces for table in trace.rewritten})))


def left_by_downgrade(database: ServiceDatabase, config: Callable[[], Config], revision: str) -> list[str]:
    """Take a revision and undo it again: what is there then, and was not before, or the other way round.

    Extensions stay: another revision, or another service in the same database, may use them.
    """
    before = _catalog(database)
    with _session(database) as (_, connection):
        for act, to in ((command.upgrade, revision), (command.downgrade, "-1")):
            aimed = config()
            aimed.attributes["connection"] = connection
            act(aimed, to)
    return _without_machinery(differences(before, _catalog(database)))


def offline_differences(online: ServiceDatabase, offline: ServiceDatabase, sql: str) -> list[str]:
    """Run a plan's SQL as text on an empty database, and compare with one that was migrated."""
    with psycopg.connect(offline.owner_url, autocommit=True) as connection:
        # One statement at a time: several at once would be one transaction, in which no index is built concurrently.
        for statement in split_statements(sql):
            connection.execute(statement.encode())
    return differences(_catalog(online), _catalog(offline))


def model_differences(migrated: ServiceDatabase, modelled: ServiceDatabase, metadata: MetaData) -> list[str]:
    """Build the models' tables in an empty database, and compare with one that was migrated."""
    with _session(migrated) as (_, connection):
        extensions = connection.exec_driver_sql("SELECT extname FROM pg_extension").scalars().all()
        expected = read_model_catalog(connection)
    with _session(modelled) as (_, connection), connection.begin():
        for name in extensions:
            connection.exec_driver_sql(f'CREATE EXTENSION IF NOT EXISTS "{name}"')
        metadata.create_all(connection)
        return differences(expected, read_model_catalog(connection))


def split_statements(sql: str) -> list[str]:
    """Return the statements of a text, split at the semicolons that end a line outside of quotes and dollar quotes."""
    statements, current, quote = [], [], ""
    for line in sql.splitlines():
        current.append(line)
        if not quote and line.lstrip().startswith("--"):
            continue
        for mark in re.findall(r"--.*$|\$\w*\$|'", line):
            if quote in ("", mark) and not mark.startswith("--"):
                quote = "" if quote else mark
        if not quote and line.rstrip().endswith(";"):
            statements.append("\n".join(current).strip())
            current = []
    return [statement for statement in statements if statement]


def _without_machinery(found: list[str]) -> list[str]:
    """Return differences that are not Alembic's or its checksums' own tables, nor extensions."""
    return [line for line in found if "alembic_version" not in line and not line.startswith("extension ")]


class _Sampler:
    """Looks at a session's locks while it is inside a statement."""

    def __init__(self, database: ServiceDatabase, pid: int, tables: Mapping[int, str]) -> None:
        self._engine = migration_engine(psycopg_url(database.owner_url))
        self._pid, self._tables = pid, tables
        self._seen: dict[int, str] = {}
        self._inside, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Note that the session enters a statement."""
        self._seen = {}
        self._inside.set()

    def end(self) -> dict[int, str]:
        """Return the strongest lock that was seen on each table while the session was in it."""
        self._inside.clear()
        return dict(self._seen)

    def close(self) -> None:
        """End the looking."""
        self._closed.set()
        self._inside.set()
        self._thread.join()

    def _run(self) -> None:
        with self._engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            while self._inside.wait() and not self._closed.is_set():
                seen = self._seen
                seen.update(_stronger(seen, _locks(connection, self._pid, self._tables)))
                time.sleep(SAMPLE_S)


def _peaceful_run(database: ServiceDatabase, config: Config, revision: str) -> tuple[list[Point], list[Catalog]]:
    """Run a revision to its end; return its points, and what others find in the database before each."""
    points: list[Point] = []
    states: list[Catalog] = []
    with migration_engine(psycopg_url(database.owner_url)).connect() as watcher, _session(database) as session:
        watcher.execution_options(isolation_level="AUTOCOMMIT")

        def look(connection: Connection, point: Point) -> None:
            driver = connection.connection.driver_connection
            durable = not points or points[-1][0] == "commit" or bool(getattr(driver, "autocommit", False))
            states.append(read_catalog(watcher) if durable else states[-1])
            points.append(point)

        _run(session, config, revision, look)
    return points, states


def _crash(
    sweep: Sweep, database: ServiceDatabase, config: Config, revision: str, at: Point, expected: Catalog
) -> bool:
    """Run a revision and cut its session at a point; False when it did not get there, or left something else."""
    sweep.crashes += 1
    where = f"a crash before {at[1]!r}"

    def cut(connection: Connection, point: Point) -> None:
        if point == at:
            # Without a ROLLBACK: the server finds the session gone, as after a kill.
            connection.invalidate()
            raise Crashed

    try:
        with _session(database) as session:
            _run(session, config, revision, cut)
    except Crashed:
        pass
    except Exception as error:
        sweep.problems.append(f"{revision} cannot be run again on the way to {where}: {error}"[: 3 * SHOWN_CHARACTERS])
        return False
    else:
        sweep.problems.append(f"{revision} ended without coming to {where}")
        return False
    found = differences(expected, _catalog(database))
    if found:
        sweep.problems.append(f"{revision} left something else at {where}: {'; '.join(found[:5])}")
    return not found


def _finish(
    sweep: Sweep, database: ServiceDatabase, config: Config, revision: str, after: Point, final: Catalog
) -> None:
    """Run a revision to its end after a crash, and compare with the peaceful run."""
    try:
        with _session(database) as (_, connection):
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    except Exception as error:
        sweep.problems.append(f"{revision} cannot be run again after a crash before {after[1]!r}: {error}")
        return
    found = differences(final, _catalog(database))
    if found:
        sweep.problems.append(f"{revision} ends otherwise after a crash before {after[1]!r}: {'; '.join(found[:5])}")


def _run(
    session: tuple[Engine, Connection], config: Config, revision: str, at: Callable[[Connection, Point], None]
) -> None:
    """Run a revision, calling `at` before each statement and each commit of it; what that raises cuts the run."""
    engine, connection = session
    seen: Counter[tuple[str, str]] = Counter()
    last = ""
    cut = False

    def stop(kind: str, text: str) -> None:
        nonlocal cut
        # What Alembic still does on its way out of a run that was cut is no point of the revision.
        if cut:
            raise Crashed
        seen[kind, text] += 1
        try:
            at(connection, (kind, text, seen[kind, text]))
        except Crashed:
            cut = True
            raise

    def statement(_c: Any, _k: Any, text: str, parameters: Any, *_: Any) -> None:
        nonlocal last
        last = f"{' '.join(text.split())} {parameters or ''}".strip()[:SHOWN_CHARACTERS]
        stop("statement", last)

    event.listen(engine, "before_cursor_execute", statement)
    event.listen(engine, "commit", lambda _connection: stop("commit", f"the commit after {last}"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, revision)
    except Exception:
        if cut:
            raise Crashed from None
        raise


@contextmanager
def _session(database: ServiceDatabase) -> Iterator[tuple[Engine, Connection]]:
    """Open a session of the database's owner, with an engine of its own."""
    engine = migration_engine(psycopg_url(database.owner_url))
    with engine.connect() as connection:
        yield engine, connection


def _catalog(database: ServiceDatabase) -> Catalog:
    with _session(database) as (_, connection):
        return read_catalog(connection)


def _tables_with_rows(connection: Connection) -> dict[int, str]:
    """Return the tables of the current schema that have rows."""
    rows = connection.exec_driver_sql(
        "SELECT c.oid, c.relname FROM pg_class c WHERE c.relkind = 'r' AND c.relname NOT LIKE 'alembic_version%%'"
        " AND c.relnamespace = current_schema()::regnamespace"
    )
    names = {int(oid): str(name) for oid, name in rows}
    filled = {oid: connection.exec_driver_sql(f'SELECT 1 FROM "{name}" LIMIT 1').first() for oid, name in names.items()}  # noqa: S608
    return {oid: name for oid, name in names.items() if filled[oid] is not None}


def _file_nodes(connection: Connection, tables: Mapping[int, str]) -> dict[int, int]:
    """Return the file of each table: another one means that it was rewritten."""
    rows = connection.exec_driver_sql(
        "SELECT oid, pg_relation_filenode(oid) FROM pg_class WHERE oid = ANY(%s)", (list(tables),)
    )
    return {int(oid): int(node) for oid, node in rows}


def _locks(connection: Connection, pid: int, tables: Mapping[int, str]) -> dict[int, str]:
    """Return the strongest lock that a session has on each of the tables."""
    rows = connection.exec_driver_sql(
        "SELECT relation, mode FROM pg_locks WHERE pid = %s AND granted AND relation = ANY(%s)", (pid, list(tables))
    )
    held: dict[int, str] = {}
    for oid, mode in rows:
        held = _stronger(held, {int(oid): str(mode)})
    return held


def _stronger(left: Mapping[int, str], right: Mapping[int, str]) -> dict[int, str]:
    """For each table the stronger of two locks."""
    return {
        table: max((side[table] for side in (left, right) if table in side), key=STRENGTH.__getitem__)
        for table in left.keys() | right.keys()
    }


def _add(
    log: dict[int, Held], tables: Mapping[int, str], table: int, mode: str, took_ms: float, statement: str
) -> None:
    """Count a statement's time where a strong lock was held in it, and keep the strongest lock."""
    before = log.get(table, Held(tables[table], "AccessShareLock", 0, ""))
    strong_ms = before.strong_ms + (round(took_ms) if STRENGTH[mode] >= STRONG else 0)
    shown = " ".join(statement.split())[:SHOWN_CHARACTERS]
    stronger = STRENGTH[mode] > STRENGTH[before.mode]
    log[table] = Held(
        before.table, mode if stronger else before.mode, strong_ms, shown if stronger else before.statement
    )
