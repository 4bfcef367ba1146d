"""What the machine has and does: room on the disk, load, and waiting for processes to end without looking at them."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
from collections.abc import Iterable
from pathlib import Path

MEBIBYTE = 1024 * 1024
EXTENSION_MAX = 5
"""By how much a time limit grows at most on a machine that has more to do than it can."""
LOOK_S = 0.5
"""Between looks where the system cannot tell when a process ends."""


def free_mib(folder: Path) -> int:
    """Return the room on the file system of a folder, which need not exist yet."""
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free // MEBIBYTE


def load() -> float:
    """Return the number of processes that wanted to run in the last minute."""
    return os.getloadavg()[0]


def extended(limit_s: float) -> float:
    """Return a time limit as long as the machine needs: load per processor times as long, up to EXTENSION_MAX times."""
    return limit_s * min(max(load() / (os.cpu_count() or 1), 1), EXTENSION_MAX)


def wait_for_end(pids: Iterable[int], bell: int, timeout_s: float) -> None:
    """Return when one of the child processes has ended, when something can be read from `bell`, or after the time."""
    opened: list[int] = []
    try:
        if hasattr(os, "pidfd_open"):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    opened.append(os.pidfd_open(pid))
        else:
            timeout_s = min(timeout_s, LOOK_S)
        poll = select.poll()
        for descriptor in (bell, *opened):
            poll.register(descriptor, select.POLLIN)
        poll.poll(max(timeout_s, 0) * 1_000)
    finally:
        for descriptor in opened:
            os.close(descriptor)
