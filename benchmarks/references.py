"""What the product is measured against: COPY of the same rows, without indexes and with the same ones."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

from benchmarks.machine import POSTGRES, processes, spent
from benchmarks.month import COPY_COLUMNS, COPY_TYPES

ROWS_A_TRANSACTION: Final = 1_000
BINARY_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
BINARY_TAIL: Final = b"\xff\xff"
SCHEMA: Final = "bench_copy"


class Copied(NamedTuple):
    """What a reference run took: rows, seconds, and processor seconds of client and server together."""

    rows: int
    seconds: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds

    @property
    def cpu_us(self) -> float:
        """Processor microseconds a row."""
        return self.cpu_s / self.rows * 1e6


class Stopwatch:
    """Seconds, and processor seconds of this process and of the server but for the services' sessions."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Begin."""
        self._pid = connection.info.backend_pid
        self._cpu_s, self._started = self._cpu(), time.perf_counter()

    def read(self, rows: int) -> Copied:
        """Return what it took to here."""
        seconds = time.perf_counter() - self._started
        return Copied(rows, seconds, self._cpu() - self._cpu_s)

    def _cpu(self) -> float:
        session = processes().get(self._pid)
        if session is None:
            # The server is on another machine.
            return time.process_time()
        return time.process_time() + session.own_s + spent({POSTGRES: session.parent})[POSTGRES]


def raw_copy(url: str, prepared: Sequence[tuple[object, ...]]) -> Copied:
    """Copy rows, binary, into a table without an index, ROWS_A_TRANSACTION to a transaction."""
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(COPY_COLUMNS, COPY_TYPES, strict=True))
    command = f"COPY raw_copy ({', '.join(COPY_COLUMNS)}) FROM STDIN (FORMAT BINARY)"
    with psycopg.connect(url) as connection:
        connection.execute(f"CREATE TABLE raw_copy ({columns})")
        connection.commit()
        watch = Stopwatch(connection)
        for first in range(0, len(prepared), ROWS_A_TRANSACTION):
            with connection.cursor().copy(command) as copy:
                copy.set_types(COPY_TYPES)
                for row in prepared[first : first + ROWS_A_TRANSACTION]:
                    copy.write_row(row)
            connection.commit()
        copied = watch.read(len(prepared))
        connection.execute("DROP TABLE raw_copy")
        connection.commit()
    return copied


def same_index_copy(url: str, sources: Sequence[tuple[str, str]]) -> Copied:
    """Copy the rows of tables, packed beforehand, into tables with the same columns, checks and indexes.

    `sources` are (table, condition); tables that are not there are left out. Rows of all tables share the transactions,
    ROWS_A_TRANSACTION of each to one. The rate is that of the first table's rows.
    """
    with psycopg.connect(url) as connection:
        there = [
            pair for pair in sources if connection.execute("SELECT to_regclass(%s)", (pair[0],)).fetchone() != (None,)
        ]
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        connection.execute(f"CREATE SCHEMA {SCHEMA}")
        parts = []
        for table, condition in there:
            columns = _columns(connection, table)
            target = sql.Identifier(SCHEMA, table)
            connection.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(target, sql.Identifier(table)))
            into = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(target, columns)
            parts.append((into, list(_packed(connection, table, columns, condition))))
        connection.commit()
        count = sum(rows for rows, _ in parts[0][1])
        watch = Stopwatch(connection)
        for number in range(max(len(chunks) for _, chunks in parts)):
            for into, chunks in parts:
                if number < len(chunks):
                    with connection.cursor().copy(into) as copy:
                        copy.write(chunks[number][1])
            connection.commit()
        copied = watch.read(count)
        connection.execute(f"DROP SCHEMA {SCHEMA} CASCADE")
        connection.commit()
    return copied


def _columns(connection: psycopg.Connection[Any], table: str) -> sql.Composed:
    names = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
        " AND attgenerated = '' ORDER BY attnum",
        (table,),
    )
    return sql.SQL(", ").join(sql.Identifier(name) for (name,) in names)


def _packed(
    connection: psycopg.Connection[Any], table: str, columns: sql.Composed, condition: str
) -> Iterator[tuple[int, bytes]]:
    """Yield the rows in pieces that COPY takes as they are; the driver gives a row at a time, the head on the first."""
    query = sql.SQL("COPY (SELECT {} FROM {} WHERE {}) TO STDOUT (FORMAT BINARY)").format(
        columns, sql.Identifier(table), sql.SQL(condition)
    )
    rows: list[bytes] = []
    with connection.cursor().copy(query) as copy:
        for row in copy:
            data = bytes(row).removeprefix(BINARY_HEAD)
            if data and data != BINARY_TAIL:
                rows.append(data)
            if len(rows) == ROWS_A_TRANSACTION:
                yield len(rows), b"".join((BINARY_HEAD, *rows, BINARY_TAIL))
                rows.clear()
    if rows:
        yield len(rows), b"".join((BINARY_HEAD, *rows, BINARY_TAIL))
