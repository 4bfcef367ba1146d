"""Calls of 10, 100 and 1,000 events: the rate, the processor time of an event, and what a batch costs by itself.

The cost of a batch is the slope of a least-squares fit, processor time = batches x a + events x b, through all sizes,
each once with the writer working while calls come in (batches as small as the calls) and once with everything on the
stream before it begins (batches as large as they get). A batch is a committed transaction of the role. What a service's
sessions cost in PostgreSQL is its own. Intake's part, measured while the writer has no lanes, is taken off metering's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks import month
from benchmarks.figures import Figures, cost_of_a_batch
from benchmarks.machine import Spent
from benchmarks.measure import Bench, Outcome, lost_and_doubled, now_of, problems_of
from benchmarks.path import send_all
from benchmarks.stack import POSTER, RATER, SERVICE_OF, WRITER, Meter

ROLES: Final = {WRITER: "writer", POSTER: "ledger"}
Point = tuple[float, float, float]
"""Transactions, events, processor milliseconds."""
Usage = tuple[Path, int]
"""A file and how many events it holds."""


def measure(bench: Bench) -> Outcome:
    """Measure every size once."""
    stack = bench.stack
    figures: Figures = {"lost": 0.0, "doubled": 0.0}
    points: dict[str, list[Point]] = {role: [] for role in ROLES}
    for size in bench.options.sizes:
        prefixes = [f"{bench.name}s{size}{kind}-" for kind in ("held", "flowing")]
        stack.apply(prefixes)
        held, flowing = (_file(bench, prefix) for prefix in prefixes)
        intake = _prefilled(bench, held, size, points, figures)
        _flowing(bench, flowing, size, intake, points, figures)
    for role, name in ROLES.items():
        fit = cost_of_a_batch(points[role])
        if fit is not None:
            figures[f"{name} ms a batch"], per_event = fit
            figures[f"{name} µs an event"] = per_event * 1e3
    return Outcome(figures, problems_of(int(figures["lost"]), int(figures["doubled"])))


def _file(bench: Bench, prefix: str) -> Usage:
    file = bench.folder / f"{prefix}.csv"
    return file, month.write(file, [prefix], bench.options.size_events)


def _prefilled(bench: Bench, file: Usage, size: int, points: dict[str, list[Point]], figures: Figures) -> float:
    """Send without a writer, then let it work; return what intake cost, in processor milliseconds."""
    stack, (path, sent) = bench.stack, file
    since, before = now_of(stack, "ledger"), stack.place(WRITER)
    stack.hold(WRITER, POSTER)
    try:
        meter = Meter(stack)
        stack.send(path, size)
        intake_ms = _cost_ms(meter.read()[0], "metering")
        for role in ROLES:
            commits, meter = stack.metric(role, "batches_total"), Meter(stack)
            stack.release(role)
            if role == WRITER:
                stack.wait_stored(before, sent)
            else:
                stack.wait_worked(role)
            spent, _ = meter.read()
            stack.wait_worked(RATER)
            points[role].append(
                (stack.metric(role, "batches_total") - commits, sent, _cost_ms(spent, SERVICE_OF[role]))
            )
    finally:
        for role in ROLES:
            stack.release(role)
    counts, _ = lost_and_doubled(stack, since, sent)
    figures["lost"] += counts["lost"]
    figures["doubled"] += counts["doubled"]
    path.unlink()
    figures[f"calls of {size}: intake µs"] = intake_ms / sent * 1e3
    return intake_ms


def _flowing(
    bench: Bench,
    file: Usage,
    size: int,
    intake_ms: float,
    points: dict[str, list[Point]],
    figures: Figures,
) -> None:
    """Send with everything working."""
    stack, (path, sent) = bench.stack, file
    commits = {role: stack.metric(role, "batches_total") for role in ROLES}
    found, _ = send_all(bench, path, sent, size)
    for role, name in ROLES.items():
        count = stack.metric(role, "batches_total") - commits[role]
        service = SERVICE_OF[role]
        cost_ms = sum(found.get(f"cpu {part} µs", 0.0) for part in (service, f"postgres {service}")) * sent / 1e3
        points[role].append((count, sent, cost_ms - (intake_ms if role == WRITER else 0.0)))
        figures[f"calls of {size}: {name} events a transaction"] = sent / max(count, 1.0)
    figures["lost"] += found["lost"]
    figures["doubled"] += found["doubled"]
    figures[f"calls of {size}: events/s"] = found["events/s"]
    figures[f"calls of {size}: cpu in all µs"] = found["cpu in all µs"]
    path.unlink()


def _cost_ms(spent: Spent, service: str) -> float:
    return (spent.get(service, 0.0) + spent.get(f"postgres {service}", 0.0)) * 1e3
