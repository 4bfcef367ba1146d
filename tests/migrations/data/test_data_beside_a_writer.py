"""A backfill of many rows beside a writer: what the writer gets done, and how long it waits, in chunks and at once.

Times are printed at the end of the run and recorded (the properties of a JUnit report), never asserted. What is
asserted can be counted: in chunks the writer gets its writes done while the backfill runs; beside one statement the
very same write is refused as long as the statement's transaction lasts, and its backend waits for the statement's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
import pytest
from apportion_dev.testing.databases import DatabaseFactory
from apportion_migrate import data
from apportion_migrate.data import DataProgress, Throttle
from data_worlds import INVITATIONS, Legacy, legacy_world

IN_CI = 100_000
IN_SOAK = 1_000_000
ONE_STATEMENT = "UPDATE invitation SET email = lower(btrim(email, E' \\t\\r\\n')) WHERE email <> lower(btrim(email))"
WRITE = "UPDATE invitation SET role = 'Admin' WHERE invitation_id = %s"
PATIENCE_S = 280


@dataclass
class Writer:
    """Writes one row after the other, spread over the table, until it is stopped; keeps its longest wait."""

    url: str
    rows: int
    written: int = 0
    worst_ms: int = 0
    backend: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as session:
            self.backend = session.info.backend_pid
            number = 0
            while not self.stopping.is_set():
                # A stride that visits every row before one comes again.
                number = (number + 7919) % self.rows
                before = time.perf_counter_ns()
                session.execute(WRITE, (f"{number + 1:032x}",))
                self.worst_ms = max(self.worst_ms, (time.perf_counter_ns() - before) // 1_000_000)
                self.written += 1


@contextmanager
def writing(legacy: Legacy, rows: int) -> Iterator[Writer]:
    """A writer beside what the block does."""
    writer = Writer(legacy.database.owner_url, rows)
    thread = threading.Thread(target=writer.work)
    thread.start()
    try:
        wait_until(lambda: writer.written > 0)
        yield writer
    finally:
        writer.stopping.set()
        thread.join(PATIENCE_S)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def in_chunks(factory: DatabaseFactory, rows: int) -> tuple[int, int, int, int, int]:
    """Milliseconds, the writer's worst wait in milliseconds, its writes, after how many chunks it wrote, chunks."""
    legacy = legacy_world(factory, "identity", "invitation_addresses", lambda s: s.execute(INVITATIONS, (rows,)))
    got_on = 0
    with writing(legacy, rows) as writer:
        first = last = writer.written

        def between_chunks(event: DataProgress) -> None:
            """Chunks wait for nothing; here the test waits for a write, which nothing may hold up now."""
            nonlocal got_on, last
            if event.kind == "chunk":
                wait_until(lambda: writer.written > last)
                last = writer.written
                got_on += 1

        before = time.perf_counter_ns()
        end = data.run(legacy.engine, legacy.migration, throttle=Throttle(), on_progress=between_chunks)
        took_ms = (time.perf_counter_ns() - before) // 1_000_000
        writes = writer.written - first
    assert (end.kind, end.standing.rows_done, end.details["left"]) == ("done", rows * 9 // 10, 0)
    legacy.engine.dispose()
    factory.drop(legacy.database.name)
    return took_ms, writer.worst_ms, writes, got_on, -(-rows // legacy.migration.chunk_rows)


def in_one_statement(factory: DatabaseFactory, rows: int) -> tuple[int, int, list[int]]:
    """Milliseconds, the writer's worst wait, and who held the writer up when it could not get on."""
    legacy = legacy_world(factory, "identity", "invitation_addresses", lambda s: s.execute(INVITATIONS, (rows,)))
    with writing(legacy, rows) as writer, legacy.session() as session:
        backfill = session.info.backend_pid
        before = time.perf_counter_ns()
        changed = session.execute(ONE_STATEMENT).rowcount
        # All rows but every tenth are locked until the commit: the writer comes to one of them and stays there.
        blockers: list[int] = []

        def held_up() -> bool:
            blockers[:] = legacy.ask("SELECT pg_blocking_pids(%s)", writer.backend)
            return bool(blockers)

        wait_until(held_up)
        written = writer.written
        assert legacy.ask("SELECT pg_blocking_pids(%s)", writer.backend) == [backfill]
        assert writer.written == written, "Not one write more while the transaction lasts."
        session.commit()
        took_ms = (time.perf_counter_ns() - before) // 1_000_000
        wait_until(lambda: writer.written > written)
    assert changed == rows * 9 // 10
    assert blockers == [backfill]
    legacy.engine.dispose()
    factory.drop(legacy.database.name)
    return took_ms, writer.worst_ms, blockers


def compare(factory: DatabaseFactory, rows: int, record: Callable[[str, object], None]) -> None:
    """Both ways in one run; prints rates and waits."""
    chunks_ms, chunks_wait_ms, writes, got_on, chunks = in_chunks(factory, rows)
    one_ms, one_wait_ms, _ = in_one_statement(factory, rows)
    assert got_on == chunks, "The writer got on between any two chunks."
    assert writes >= chunks
    changed = rows * 9 // 10
    figures = {
        "rows": rows,
        "chunks_rows_per_s": changed * 1000 // max(chunks_ms, 1),
        "chunks_writer_worst_ms": chunks_wait_ms,
        "chunks_writer_writes": writes,
        "one_statement_rows_per_s": changed * 1000 // max(one_ms, 1),
        "one_statement_writer_worst_ms": one_wait_ms,
        "worst_wait_ratio_percent": chunks_wait_ms * 100 // max(one_wait_ms, 1),
        "at_most_a_tenth": chunks_wait_ms * 10 <= one_wait_ms,
    }
    for name, value in figures.items():
        record(name, value)
    record("figures", "backfill beside a writer: " + ", ".join(f"{name} {value}" for name, value in figures.items()))


def test_a_hundred_thousand_rows_beside_a_writer(
    database_factory: DatabaseFactory, record_property: Callable[[str, object], None]
) -> None:
    compare(database_factory, IN_CI, record_property)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_million_rows_beside_a_writer(
    database_factory: DatabaseFactory, record_property: Callable[[str, object], None]
) -> None:
    compare(database_factory, IN_SOAK, record_property)
