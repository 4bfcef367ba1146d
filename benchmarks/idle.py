"""The stack at rest: the share of a core that each of its processes takes."""

from __future__ import annotations

import time
from typing import Final

from benchmarks.machine import BENCHMARK
from benchmarks.measure import Bench, Outcome
from benchmarks.stack import Meter

SETTLE_S: Final = 5.0
"""After a start or another measurement, before a stack counts as at rest."""


def measure(bench: Bench) -> Outcome:
    """Look for as long as the options say."""
    time.sleep(SETTLE_S)
    meter = Meter(bench.stack)
    time.sleep(bench.options.seconds)
    spent, seconds = meter.read()
    shares = {f"{name} % of a core": used / seconds * 100 for name, used in sorted(spent.items()) if name != BENCHMARK}
    return Outcome(shares | {"in all % of a core": sum(shares.values())}, [])
