"""What the commands show: a bar on a terminal, a line every two seconds elsewhere, amounts without a float."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from google.type import decimal_pb2, money_pb2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

PLAIN_INTERVAL_S = 2.0
"""Between two progress lines where there is no terminal."""
NANOS = 9

console = Console(highlight=False, soft_wrap=True)


class Bar:
    """Progress of one command."""

    def __init__(self, name: str, total: int | None, unit: str, rich: Progress | None) -> None:
        self.done = 0
        self._name = name
        self._total = total
        self._unit = unit
        self._note = ""
        self._started = time.monotonic()
        self._said = self._started
        self._rich = rich
        self._task: TaskID | None = rich.add_task(name, total=total, rate="", note="") if rich else None

    def advance(self, count: int) -> None:
        """Count further work done."""
        self.done += count
        self._show()

    def say(self, note: str) -> None:
        """Change the note behind the bar."""
        self._note = note
        self._show()

    @property
    def rate(self) -> int:
        """Work per second so far."""
        return int(self.done / max(time.monotonic() - self._started, 1e-6))

    def _show(self) -> None:
        if self._rich is not None and self._task is not None:
            self._rich.update(self._task, completed=self.done, rate=f"{self.rate:,} {self._unit}/s", note=self._note)
        elif time.monotonic() - self._said >= PLAIN_INTERVAL_S:
            self._said = time.monotonic()
            of = f" of {self._total:,}" if self._total else ""
            print(f"{self._name}: {self.done:,}{of} {self._unit}, {self.rate:,}/s {self._note}", flush=True)


@contextmanager
def progress(name: str, total: int | None, unit: str) -> Iterator[Bar]:
    """A bar for the length of a block."""
    if not console.is_terminal:
        yield Bar(name, total, unit, None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as rich:
        yield Bar(name, total, unit, rich)


def money(value: money_pb2.Money) -> str:
    """An amount as a decimal text with nine places, trailing zeros cut to at least two."""
    sign = "-" if value.units < 0 or value.nanos < 0 else ""
    fraction = f"{abs(value.nanos):0{NANOS}d}"
    return f"{sign}{abs(value.units)}.{fraction[:2]}{fraction[2:].rstrip('0')}"


def number(value: decimal_pb2.Decimal) -> str:
    """A decimal as it came, zero where it is absent."""
    return value.value or "0"
