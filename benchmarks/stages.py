"""The writer, the rater and the ledger's append, each alone: its input is on the stream before it begins.

The benchmark takes the lanes of all three roles as another worker would, has the file sent, and then gives the roles
their lanes back one after the other. Beside the writer's and the ledger's rate stands a COPY of the very rows that they
wrote, packed beforehand, into tables with the same columns, checks and indexes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from benchmarks import month
from benchmarks.figures import Figures, cpu_figures
from benchmarks.measure import Bench, Outcome, lost_and_doubled, now_of
from benchmarks.references import same_index_copy
from benchmarks.stack import CALL_EVENTS_MAX, POSTER, RATER, WRITER, Meter, Stack

TABLES: Final = {
    WRITER: ("metering", (("metering_event", "received_at"), ("metering_event_key", None))),
    POSTER: ("ledger", (("ledger_line", "posted_at"), ("ledger_charge_key", None))),
}
"""Database and tables of the rows that a role writes per event, with the column that says when.

Of a table that has none any rows do: as many as the role wrote."""
NAMES: Final = {WRITER: "writer", RATER: "rater", POSTER: "ledger"}


def measure(bench: Bench) -> Outcome:
    """Measure all three once."""
    stack, prefixes = bench.stack, bench.prefixes()
    file = bench.folder / f"{bench.name}.csv"
    sent = month.write(file, prefixes)
    stack.apply(prefixes)
    since = {service: now_of(stack, service) for service in ("metering", "ledger")}
    before = stack.place(WRITER)
    stack.hold(WRITER, RATER, POSTER)
    try:
        stack.send(file, CALL_EVENTS_MAX)
        figures: Figures = {}
        figures |= _alone(stack, WRITER, sent, lambda: stack.wait_stored(before, sent))
        figures |= _alone(stack, RATER, sent, lambda: stack.wait_worked(RATER))
        figures |= _alone(stack, POSTER, sent, lambda: stack.wait_worked(POSTER))
    finally:
        for role in NAMES:
            stack.release(role)
    counts, problems = lost_and_doubled(stack, since["ledger"], sent)
    for role, (service, tables) in TABLES.items():
        name = NAMES[role]
        copied = same_index_copy(
            stack.url(f"apportion_{service}"),
            [
                (table, f"{column} >= '{since[service]}'" if column else f"true LIMIT {sent}")
                for table, column in tables
            ],
        )
        figures[f"{name} COPY rows/s"] = copied.rate
        figures[f"{name} ratio to COPY"] = figures[f"{name} events/s"] / copied.rate
        figures[f"{name} COPY cpu µs"] = copied.cpu_us
    file.unlink()
    return Outcome(figures | counts, problems)


def _alone(stack: Stack, role: str, events: int, wait: Callable[[], bool]) -> Figures:
    """Give a role its lanes and wait until it has worked all; figures from its first batch on."""
    before, committed = stack.place(role), stack.metric(role, "batches_total")
    stack.release(role)
    stack.wait_begun(role, before)
    # Lanes are taken within a second or so: that wait is none of the role's work.
    meter, done_before = Meter(stack), stack.place(role)
    wait()
    spent, seconds = meter.read()
    batches = stack.place(role).batches - before.batches
    share = (stack.place(role).batches - done_before.batches) / max(batches, 1)
    commits = stack.metric(role, "batches_total") - committed
    name = NAMES[role]
    figures = {f"{name} {key}": value for key, value in cpu_figures(spent, max(int(events * share), 1)).items()}
    return {
        f"{name} events/s": events * share / seconds,
        f"{name} events a transaction": events / max(commits, 1.0),
    } | figures
