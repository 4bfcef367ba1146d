"""Arithmetic on what was measured: medians of quiet runs, percentiles, the cost of a batch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from benchmarks.machine import BENCHMARK, SUPERVISOR, Load

NOT_THE_PRODUCT: Final = (BENCHMARK, SUPERVISOR)
Figures = dict[str, float]
"""By name, with the unit in the name."""


@dataclass
class Run:
    """One measurement of one part, with the stack of one checkout."""

    part: str
    subject: str
    number: int
    figures: Figures
    load: Load
    problems: list[str] = field(default_factory=list)
    """What was lost, came twice or was billed wrongly; empty as long as all is well."""

    def as_json(self) -> dict[str, Any]:
        """Return the run as the file of results holds it."""
        return {**asdict(self), "loaded": self.load.loaded}


def medians(runs: Iterable[Run]) -> dict[tuple[str, str], Figures]:
    """Return the medians of the quiet runs by part and subject; a part of which every run is loaded has none."""
    values: dict[tuple[str, str], dict[str, list[float]]] = {}
    for run in runs:
        if not run.load.loaded:
            of = values.setdefault((run.part, run.subject), {})
            for name, value in run.figures.items():
                of.setdefault(name, []).append(value)
    return {key: {name: statistics.median(found) for name, found in of.items()} for key, of in values.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of sorted values: the least one that `share` of them do not exceed."""
    return values[max(math.ceil(share * len(values)), 1) - 1]


def cost_of_a_batch(points: Sequence[tuple[float, float, float]]) -> tuple[float, float] | None:
    """Return the cost of a batch and of an event that fit the points (batches, events, cost) best; least squares.

    None when the points cannot tell the two apart: fewer than two, or the same number of events to a batch in all.
    """
    bb = sum(b * b for b, _, _ in points)
    be = sum(b * e for b, e, _ in points)
    ee = sum(e * e for _, e, _ in points)
    bc = sum(b * c for b, _, c in points)
    ec = sum(e * c for _, e, c in points)
    determinant = bb * ee - be * be
    if len(points) < 2 or determinant <= 1e-9 * bb * ee:
        return None
    return (bc * ee - ec * be) / determinant, (ec * bb - bc * be) / determinant


def cpu_figures(spent: Mapping[str, float], events: int) -> Figures:
    """Return processor microseconds an event, by process and in all; of the product alone."""
    each = {
        f"cpu {name} µs": seconds / events * 1e6
        for name, seconds in sorted(spent.items())
        if seconds > 0 and name not in NOT_THE_PRODUCT
    }
    return each | {"cpu in all µs": sum(each.values())}
