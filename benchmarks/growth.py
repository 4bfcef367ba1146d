"""Rate, sizes and memory while the tables grow: rounds of the whole path until so many events are stored.

Each round sends the month under fresh prefixes. Beside its rate and processor time stand, relative to the first round
on empty tables, what they are worth; at its end the size of each table with its indexes, and over it the greatest
resident memory of each process. What all readers of a stream have worked is purged between rounds, as an operator does
by the runbook: a stream takes some 10 million events and then refuses more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import nats
from apportion_common.bus.rights import inbox_prefix

from benchmarks import month
from benchmarks.figures import Figures
from benchmarks.machine import memory
from benchmarks.measure import Bench, Outcome
from benchmarks.path import send_all
from benchmarks.stack import POSTED_RECEIPTS, RATED_RECEIPTS, Stack

SERVICES: Final = ("metering", "pricing", "ledger")
TABLE_BYTES_MIN: Final = 1 << 20
"""Smaller tables are not told."""
SAMPLE_S: Final = 1.0
STREAMS: Final = ("METERING_IN", "METERING_OUT", "PRICING_OUT", "LEDGER_OUT")
_SIZES: Final = (
    "SELECT coalesce(parent.relname, c.relname), sum(pg_table_size(c.oid))::bigint, sum(pg_indexes_size(c.oid))::bigint"
    " FROM pg_class AS c LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid LEFT JOIN pg_class AS parent"
    " ON parent.oid = i.inhparent WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace GROUP BY 1"
)


@dataclass
class Memory:
    """Samples the resident memory of a stack's processes beside what runs."""

    stack: Stack
    most: dict[str, int] = field(default_factory=dict)

    @contextlib.contextmanager
    def sampled(self) -> Iterator[None]:
        """Sample until the block ends."""
        ended = threading.Event()
        thread = threading.Thread(target=self._sample, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _sample(self, ended: threading.Event) -> None:
        while True:
            for name, used in memory(self.stack.pids).items():
                self.most[name] = max(self.most.get(name, 0), used)
            if ended.wait(SAMPLE_S):
                return


def measure_round(bench: Bench) -> Outcome:
    """Send the month as often as the options say, once more; figures of this round."""
    stack, prefixes = bench.stack, bench.prefixes()
    stack.apply(prefixes)
    file = bench.folder / f"{bench.name}.csv"
    sent = month.write(file, prefixes)
    sampler = Memory(stack)
    with sampler.sampled():
        figures, problems = send_all(bench, file, sent)
    file.unlink()
    for role in (RATED_RECEIPTS, POSTED_RECEIPTS):
        stack.wait_worked(role)
    figures |= {f"{name} MB resident": used / 1e6 for name, used in sorted(sampler.most.items())}
    return Outcome(figures | sizes(stack), problems)


def sizes(stack: Stack) -> Figures:
    """Return megabytes of tables and of their indexes, partitions together."""
    found: Figures = {}
    for service in SERVICES:
        for table, data, indexes in stack.database(service).execute(_SIZES):
            if data + indexes >= TABLE_BYTES_MIN:
                found[f"{service}.{table} MB"] = data / 1e6
                found[f"{service}.{table} indexes MB"] = indexes / 1e6
    return found


def purge_streams(stack: Stack) -> None:
    """Purge the streams between the services; every reader must have worked all of them.

    The last message of each lane stays: from it the lanes know where their stream ends.
    """
    asyncio.run(_purge(*stack.nats))


async def _purge(url: str, ca_file: str, user: str, password: str, api_prefix: str) -> None:
    # Its warning of how the driver ends a connection says nothing here.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    context = ssl.create_default_context(cafile=ca_file)
    client = await nats.connect(url, user=user, password=password, tls=context, inbox_prefix=inbox_prefix(user))
    try:
        js = client.jetstream(prefix=api_prefix)
        for stream in STREAMS:
            info = await js.stream_info(stream, subjects_filter=">")
            for subject in info.state.subjects or {}:
                await js.purge_stream(stream, subject=subject, keep=1)
    finally:
        await client.close()


def relative(first: Figures, now: Figures) -> Figures:
    """Return what a round is worth beside the first one, on empty tables."""
    names = ("events/s", "cpu in all µs")
    return {f"{name} to empty": now[name] / first[name] for name in names if first.get(name)}


def until(events: int, stored: int, started: float) -> str:
    """Return a sentence on how far a growth run is."""
    return f"  {stored:,} of {events:,} events after {(time.monotonic() - started) / 60:.1f} min"
