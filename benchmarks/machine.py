"""The machine that is measured on: who uses its processors, and whether it is quiet enough for a result.

Linux only: everything is read from /proc. A run is `loaded` when processes that are not part of it used more than
OTHERS_CORES_MAX of a core, in the second before it or over all of it. A loaded run is shown and never counted.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

CLOCK_TICKS_HZ: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
SAMPLE_S: Final = 1.0
OTHERS_CORES_MAX: Final = 0.2
"""What others may use, in cores; an idle machine's own daemons and the kernel's threads need some."""
BUSY: Final = (0, 1, 2, 5, 6, 7)
"""Fields of /proc/stat's first line: user, nice, system, irq, softirq, steal. Neither idle nor waiting for a disk."""
POSTGRES: Final = "postgres"
SUPERVISOR: Final = "supervisor"
"""The local stack's own process, which starts the others and watches them."""
BENCHMARK: Final = "benchmark"
"""What sessions of the server's superuser are counted as: nobody else has any."""
TITLE: Final = re.compile(r"postgres: (?P<role>postgres|\w+_app) (?P<database>\w+) ")
"""A session; PostgreSQL's own processes have other words, such as `autovacuum worker`."""

Spent = dict[str, float]
"""Processor seconds so far, by process."""


@dataclass(frozen=True, slots=True)
class Process:
    """A line of /proc/PID/stat."""

    pid: int
    parent: int
    own_s: float
    """Processor seconds of the process."""
    reaped_s: float
    """Those of its children that have ended."""
    rss_bytes: int


@dataclass(slots=True)
class Load:
    """What others used of the machine around a run, in cores, and the load average before it."""

    before_cores: float
    load_average: float
    during_cores: float = 0.0

    @property
    def loaded(self) -> bool:
        """Whether the run is no result."""
        return max(self.before_cores, self.during_cores) > OTHERS_CORES_MAX

    def __str__(self) -> str:
        return (
            f"others used {self.before_cores:.2f} cores before and {self.during_cores:.2f} during it,"
            f" load average {self.load_average:.2f}"
        )


@dataclass
class Others:
    """Watches what others use; `own` gives the processor seconds of everything that belongs to the benchmark."""

    own: Callable[[], float]
    wait_s: float = 0.0
    say: Callable[[str], None] = field(default=print)

    def before(self) -> Load:
        """Sample for a second; with `wait_s`, again until it is quiet or that time is over."""
        deadline = time.monotonic() + self.wait_s
        while True:
            cores = self._sample()
            if cores <= OTHERS_CORES_MAX or time.monotonic() > deadline:
                return Load(cores, os.getloadavg()[0])
            self.say(f"  waiting for a quiet machine: others use {cores:.2f} cores")

    @contextmanager
    def watched(self) -> Iterator[Load]:
        """Provide the load around a block; what was used during it is there when the block has ended."""
        load = self.before()
        busy_s, own_s, started = busy_seconds(), self.own(), time.monotonic()
        yield load
        load.during_cores = others_cores(busy_seconds() - busy_s, self.own() - own_s, time.monotonic() - started)

    def _sample(self) -> float:
        busy_s, own_s, started = busy_seconds(), self.own(), time.monotonic()
        time.sleep(SAMPLE_S)
        return others_cores(busy_seconds() - busy_s, self.own() - own_s, time.monotonic() - started)


def others_cores(busy_s: float, own_s: float, elapsed_s: float) -> float:
    """Return what others used on average, in cores; clocks of different grain may not make it negative."""
    return max(busy_s - own_s, 0.0) / elapsed_s


def busy_seconds() -> float:
    """Return the processor seconds that the machine has worked since its start."""
    with open("/proc/stat", encoding="ascii") as file:
        return parse_busy(file.readline())


def parse_busy(line: str) -> float:
    """Return the seconds of work in the first line of /proc/stat."""
    fields = line.split()[1:]
    return sum(int(fields[number]) for number in BUSY) / CLOCK_TICKS_HZ


def parse_process(text: str) -> Process:
    """Return what /proc/PID/stat says. The name in parentheses may hold anything."""
    name, _, rest = text.rpartition(")")
    fields = rest.split()
    own, reaped = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return Process(
        int(name.split(" ")[0]),
        int(fields[1]),
        own / CLOCK_TICKS_HZ,
        reaped / CLOCK_TICKS_HZ,
        int(fields[21]) * PAGE_BYTES,
    )


def processes() -> dict[int, Process]:
    """Return every process of the machine that can be looked at."""
    found = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            process = parse_process(file.read_text(encoding="utf-8", errors="replace"))
        except (OSError, ValueError, IndexError):
            continue
        found[process.pid] = process
    return found


def spent(pids: Mapping[str, int]) -> Spent:
    """Return the processor seconds of the named processes; PostgreSQL's sessions by the database they work on."""
    table = processes()
    used: Spent = {}
    for name, pid in pids.items():
        process = table.get(pid)
        if process is None:
            continue
        used[name] = process.own_s + (process.reaped_s if name == POSTGRES else 0.0)
    postmaster = pids.get(POSTGRES)
    for process in table.values():
        if process.parent == postmaster:
            name = postgres_part(_title(process.pid))
            used[name] = used.get(name, 0.0) + process.own_s
    return used


def memory(pids: Mapping[str, int]) -> dict[str, int]:
    """Return resident bytes of the named processes; PostgreSQL's is the sum of its processes without shared pages."""
    table = processes()
    used = {name: table[pid].rss_bytes for name, pid in pids.items() if pid in table and name != POSTGRES}
    postmaster = pids.get(POSTGRES)
    family = [process.pid for process in table.values() if postmaster in (process.parent, process.pid)]
    return used | {POSTGRES: sum(_private_bytes(pid) for pid in family)}


def postgres_part(title: str) -> str:
    """Return what a process of PostgreSQL is counted as: `postgres ledger` for a session of that service."""
    found = TITLE.match(title)
    if found is None:
        return POSTGRES
    if found["role"] == POSTGRES:
        return BENCHMARK
    return f"{POSTGRES} {found['database'].removeprefix('apportion_')}"


def difference(after: Spent, before: Spent) -> Spent:
    """Return what was spent between two looks; a process that came later began at zero."""
    return {name: max(value - before.get(name, 0.0), 0.0) for name, value in after.items()}


def description() -> dict[str, str]:
    """Return what a result must say of the machine it was measured on."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processors": str(os.cpu_count()),
        "processor": model,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def _private_bytes(pid: int) -> int:
    """Return resident bytes less the shared ones (Linux's statm)."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return (int(fields[1]) - int(fields[2])) * PAGE_BYTES
