"""The path's rate as a ratio: the first IngestEvents to the last ledger line, against a raw COPY of the same rows.

January ten times over, under ten prefixes of the organisations, through the whole local stack; beside it in the
same run, and on the same PostgreSQL, the same rows by binary COPY into a table without an index, a thousand to a
transaction. The runs are interleaved, the median is told, and with every run what was lost and doubled and where
the processor's time went. Nothing here is an assertion.

    make bench            five pairs
    python benchmarks/path.py --runs 1 --times 2     a shorter look
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import psycopg
from apportion_client import naming
from apportion_client.settings import client_environment
from apportion_dev.stack.layout import Layout
from apportion_dev.stack.supervisor import LocalStack

ROOT = pathlib.Path(__file__).resolve().parent.parent
MONTH = ROOT / "examples" / "flights-2013-01"
ROWS_PER_COPY = 1_000
APPLIERS = 3
"""Scenarios applied at the same time, before anything is measured."""
CLOCK_TICKS_HZ = os.sysconf("SC_CLK_TCK")
COLUMNS = ("org_id", "project_id", "request_id", "sku", "quantity", "event_time", "event_id", "lane", "pos", "seq")
TYPES = ["uuid", "uuid", "text", "text", "numeric", "timestamptz", "uuid", "int4", "int8", "int8"]


def rows(prefix: str) -> Iterator[tuple[object, ...]]:
    """The month's rows as a COPY takes them: the columns that metering stores of an event."""
    with gzip.open(MONTH / "events.csv.gz", "rt") as file:
        for number, row in enumerate(csv.DictReader(file)):
            yield (
                naming.org_id(row["org"], prefix),
                naming.project_id(row["org"], row["project"], prefix),
                row["request_id"],
                row["sku"],
                Decimal(row["quantity"]),
                datetime.fromisoformat(row["event_time"]),
                UUID(int=number),
                number % 32,
                number,
                number,
            )


def raw_copy(url: str, prepared: list[list[tuple[object, ...]]]) -> float:
    """Rows a second by binary COPY into a table without an index, a thousand rows to a transaction."""
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(COLUMNS, TYPES, strict=True))
    with psycopg.connect(url) as connection:
        connection.execute(f"CREATE TABLE raw_copy ({columns})")
        connection.commit()
        started = time.perf_counter()
        for part in prepared:
            for first in range(0, len(part), ROWS_PER_COPY):
                with connection.cursor().copy(
                    f"COPY raw_copy ({', '.join(COLUMNS)}) FROM STDIN (FORMAT BINARY)"
                ) as copy:
                    copy.set_types(TYPES)
                    for row in part[first : first + ROWS_PER_COPY]:
                        copy.write_row(row)
                connection.commit()
        seconds = time.perf_counter() - started
        connection.execute("DROP TABLE raw_copy")
        connection.commit()
    return sum(len(part) for part in prepared) / seconds


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and of its children that still run (Linux; 0 elsewhere)."""
    total = 0.0
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue
        fields = rest.split()
        own = int(name.split(" ")[0])
        if own == pid or int(fields[1]) == pid:
            total += (int(fields[11]) + int(fields[12])) / CLOCK_TICKS_HZ
    return total


def processes(stack: LocalStack) -> dict[str, float]:
    """Processor seconds so far, by process."""
    return {name: cpu_seconds(pid) for name, pid in stack.state().pids.items()}


class Bench:
    """One stack, measured several times."""

    def __init__(self, stack: LocalStack, environment: dict[str, str]) -> None:
        self.stack = stack
        self.environment = environment

    def apportion(self, *arguments: str) -> None:
        """Run a command of the client in a process of its own."""
        command = [sys.executable, "-m", "apportion_cli.main", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")

    def query(self, service: str, statement: str, *parameters: object) -> tuple[object, ...]:
        """One row, read as the administrator."""
        url = self.stack.postgres.admin_url.rsplit("/", 1)[0] + f"/apportion_{service}"
        with psycopg.connect(url) as connection:
            row = connection.execute(statement, parameters).fetchone()
            assert row is not None
            return row

    def path(self, prefixes: list[str], senders: int) -> tuple[int, float]:
        """Send the month under every prefix; events and seconds from the first call to the last line."""
        self.apportion("apply", str(MONTH / "scenario.json"), "--prefix", prefixes[0])
        with ThreadPoolExecutor(APPLIERS) as pool:
            for done in [
                pool.submit(self.apportion, "apply", str(MONTH / "scenario.json"), "--prefix", prefix)
                for prefix in prefixes[1:]
            ]:
                done.result()
        (before,) = self.query("ledger", "SELECT count(*) FROM ledger_line")
        (started,) = self.query("metering", "SELECT clock_timestamp()")
        send = ("ingest", str(MONTH / "events.csv.gz"), "--batch", "5000", "--no-resume", "--prefix")
        with ThreadPoolExecutor(senders) as pool:
            for done in [pool.submit(self.apportion, *send, prefix) for prefix in prefixes]:
                done.result()
        self.apportion("status", "--wait", "600")
        events, first = self.query(
            "metering", "SELECT count(*), min(received_at) FROM metering_event WHERE received_at >= %s", started
        )
        (charges, distinct) = self.query("pricing", "SELECT count(*), count(DISTINCT event_id) FROM charge")
        (lines, last) = self.query("ledger", "SELECT count(*), max(posted_at) FROM ledger_line")
        sent = sum(1 for _ in rows("")) * len(prefixes)
        assert isinstance(lines, int)
        assert isinstance(before, int)
        assert isinstance(events, int)
        print(
            f"  sent {sent:,}, stored {events:,}, lines {lines - before:,};"
            f" lost {sent - (lines - before)}, doubled {max(0, lines - before - sent)};"
            f" charges in all {charges:,}, of distinct events {distinct:,}"
        )
        seconds = (last - first).total_seconds()  # type: ignore[operator]
        return sent, seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="pairs of runs")
    parser.add_argument("--times", type=int, default=10, help="how often the month is sent in a run")
    parser.add_argument("--senders", type=int, default=1, help="clients sending at the same time")
    args = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory(prefix="apportion-bench-", ignore_cleanup_errors=True) as name:
        stack = LocalStack(Layout(pathlib.Path(name) / "data"))
        with stack:
            layout = Layout(pathlib.Path(name) / "data")
            environment = {**os.environ, **client_environment(layout.root, stack.state())}
            bench = Bench(stack, environment)
            prepared = [list(rows(f"x{number}-")) for number in range(args.times)]
            for run in range(1, args.runs + 1):
                prefixes = [f"r{run}x{number}-" for number in range(args.times)]
                print(f"run {run} of {args.runs}")
                copied = raw_copy(stack.postgres.admin_url, prepared)
                before = processes(stack)
                events, seconds = bench.path(prefixes, args.senders)
                after = processes(stack)
                rate = events / seconds
                ratios.append(rate / copied)
                spent = sorted(((after[p] - before[p], p) for p in after), reverse=True)
                print(
                    f"  raw COPY {copied:,.0f} rows/s; path {rate:,.0f} events/s in {seconds:.1f} s;"
                    f" ratio {ratios[-1]:.3f}"
                )
                shown = ", ".join(f"{p} {s / events * 1e6:.0f}" for s, p in spent if s > 0)
                print(f"  processor microseconds an event: {shown}", flush=True)
        stack.destroy()
    print(f"median ratio of {len(ratios)}: {statistics.median(ratios):.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
