"""What the commands show: a bar on a terminal, a line every two seconds elsewhere, amounts without a float."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

from apportion_common.decimals import format_decimal
from apportion_common.money import MINOR_UNITS
from google.protobuf import timestamp_pb2
from google.type import decimal_pb2, money_pb2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

PLAIN_INTERVAL_S = 2.0
"""Between two progress lines where there is no terminal."""
PLAIN_WIDTH = 200
"""Characters of a line where there is no terminal."""
COLUMN_GAP = 3
"""Characters between two columns of a table."""
NANOS = 9


def _console() -> Console:
    """Return the terminal as wide as it is; a file or pipe wide enough for every table."""
    found = Console(highlight=False, soft_wrap=True)
    return found if found.is_terminal else Console(highlight=False, soft_wrap=True, width=PLAIN_WIDTH)


console = _console()


def print_line(text: str, style: str = "") -> None:
    """Print a line as it is; the style shows on a terminal only."""
    console.print(Text(text, style=style))


class Bar:
    """Progress of one command."""

    def __init__(self, name: str, total: int | None, unit: str, rich: Progress | None) -> None:
        """A bar in `rich`, or lines where there is none."""
        self.done = 0
        self._name = name
        self._total = total
        self._unit = unit
        self._note = ""
        self._started = time.monotonic()
        self._said = self._started
        self._rich = rich
        self._task: TaskID | None = rich.add_task(name, total=total, rate="", note="") if rich else None

    def advance(self, count: int, note: str | None = None) -> None:
        """Count further work done, with a new note behind the bar if there is one."""
        self.done += count
        self._note = self._note if note is None else note
        self._show()

    def show_note(self, note: str) -> None:
        """Change the note behind the bar."""
        self._note = note
        self._show()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the bar began."""
        return time.monotonic() - self._started

    @property
    def rate(self) -> int:
        """Work per second so far."""
        return int(self.done / max(self.elapsed_s, 1e-6))

    def _show(self) -> None:
        if self._rich is not None and self._task is not None:
            self._rich.update(self._task, completed=self.done, rate=f"{self.rate:,} {self._unit}/s", note=self._note)
        elif time.monotonic() - self._said >= PLAIN_INTERVAL_S:
            self._said = time.monotonic()
            of = f" of {self._total:,}" if self._total else ""
            print_line(f"{self._name}: {self.done:,}{of} {self._unit}, {self.rate:,}/s  {self._note}".rstrip())


@contextmanager
def progress(name: str, total: int | None, unit: str) -> Iterator[Bar]:
    """Show a bar for the length of a block."""
    if not console.is_terminal:
        yield Bar(name, total, unit, None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console) as rich:
        yield Bar(name, total, unit, rich)


@dataclass(frozen=True, slots=True)
class Figure:
    """A number in a cell of a table: a quantity, or an amount of a currency."""

    value: Decimal
    currency: str = ""


Cell = str | Figure


def show_table(
    title: str,
    columns: Iterable[str],
    rows: Iterable[Iterable[Cell]],
    totals: Iterable[Iterable[Cell]] = (),
    styles: Iterable[str] = (),
    drop: Sequence[str] = (),
) -> None:
    """Print a table; a column whose name begins with > is flush right, the last rows may hold totals.

    A column's figures are aligned on the point, and its amounts of one currency have the same number of decimals.
    `styles` are the rows' own, in their order. On a terminal that is too narrow the columns of `drop` are left out, the
    first one first, and it is said which; where that is not enough, a line shows one value. Nothing is cut.
    """
    names = list(columns)
    headings = [name.removeprefix(">") for name in names]
    body = [list(row) for row in rows]
    footer = [list(row) for row in totals]
    texts = [_aligned([row[place] for row in [*body, *footer]]) for place in range(len(names))]
    widths = [max(map(len, [heading, *column])) for heading, column in zip(headings, texts, strict=True)]
    shown = _fitting(headings, widths, drop)
    if _width(widths, shown) > console.width and console.is_terminal:
        _show_blocks(title, headings, list(zip(*texts, strict=True)))
        return
    table = Table(title=title, title_justify="left", title_style="bold", show_edge=False, pad_edge=False)
    for place in shown:
        # The padding behind a figure would be cut off in a column that is flush right, so it is filled from the left.
        fill = str.rjust if names[place].startswith(">") else str.ljust
        texts[place][:] = [fill(text, widths[place]) for text in texts[place]]
        table.add_column(fill(headings[place], widths[place]), no_wrap=True)
    lines = list(zip(*(texts[place] for place in shown), strict=True))
    for line, style in zip(lines[: len(body)], itertools.chain(styles, itertools.repeat("")), strict=False):
        table.add_row(*(Text(text) for text in line), style=style)
    if footer:
        table.add_section()
    for line in lines[len(body) :]:
        table.add_row(*(Text(text, style="bold") for text in line))
    console.print(table, width=max(console.width, _width(widths, shown)))
    missing = [heading for place, heading in enumerate(headings) if place not in shown]
    if missing:
        print_line(f"Left out at {console.width} characters: {', '.join(missing)}.", "dim")


def _width(widths: Sequence[int], shown: Sequence[int]) -> int:
    """Return how wide a table of some of the columns is."""
    return sum(widths[place] + COLUMN_GAP for place in shown) - COLUMN_GAP


def _fitting(headings: Sequence[str], widths: Sequence[int], drop: Sequence[str]) -> list[int]:
    """Return the places of the columns that are shown on this terminal."""
    shown = list(range(len(headings)))
    for name in drop:
        if console.is_terminal and _width(widths, shown) > console.width:
            shown.remove(headings.index(name))
    return shown


def _show_blocks(title: str, headings: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print a block of lines for each row of a table that is too wide."""
    print_line(title, "bold")
    for line in lines:
        print_line("")
        show_fields(dict(zip(headings, (text.strip() for text in line), strict=True)))


def _aligned(cells: list[Cell]) -> list[str]:
    """Return a column's texts, with its figures padded to one number of characters behind the point."""
    figures = [cell for cell in cells if isinstance(cell, Figure)]
    places: dict[str, int] = {}
    for figure in figures:
        needed = max(_decimals(format_decimal(figure.value)), MINOR_UNITS.get(figure.currency, 0))
        places[figure.currency] = max(needed, places.get(figure.currency, 0))
    # A quantity says no more decimals than it has.
    texts = [_fixed(cell.value, places[cell.currency] if cell.currency else 0) for cell in figures]
    behind = max((len(text) - len(text.partition(".")[0]) for text in texts), default=0)
    padded = iter(text.ljust(len(text.partition(".")[0]) + behind) for text in texts)
    return [next(padded) if isinstance(cell, Figure) else cell for cell in cells]


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _fixed(value: Decimal, least: int) -> str:
    """Return a number with at least so many decimals, without further trailing zeros, with thousands separated."""
    whole, _, fraction = format_decimal(value).partition(".")
    fraction = fraction.ljust(least, "0")
    sign, digits = whole[: whole.startswith("-")], whole.removeprefix("-")
    separated = f"{sign}{int(digits):,}"
    return f"{separated}.{fraction}" if fraction else separated


def show_fields(fields: Mapping[str, str]) -> None:
    """Print what is known of one thing, a line each; what is empty is left out."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        if value:
            print_line(f"{name:<{width}}  {value}")


def when(at: timestamp_pb2.Timestamp) -> str:
    """Return a time in UTC, to the second; empty where it is not set."""
    return timestamp_pb2.Timestamp(seconds=at.seconds).ToJsonString() if at.seconds or at.nanos else ""


def counted(count: int, what: str) -> str:
    """Return how many there are of something: "1 claim", "2 claims", "3 entries"."""
    if count == 1:
        return f"1 {what}"
    return f"{count:,} {what.removesuffix('y')}ies" if what.endswith(("ry", "cy")) else f"{count:,} {what}s"


def word(name: str, prefix: str) -> str:
    """Return a value of an enum as people say it: CLAIM_STATUS_PENDING_CONFLICT is "pending conflict"."""
    return name.removeprefix(prefix).replace("_", " ").lower()


def money(value: money_pb2.Money) -> str:
    """Return an amount as a text with its currency: nine places, trailing zeros cut to the currency's minor unit."""
    return amount(money_decimal(value), value.currency_code)


def money_figure(value: money_pb2.Money) -> Figure:
    """Return an amount as a cell of a table."""
    return Figure(money_decimal(value), value.currency_code)


def figure(value: decimal_pb2.Decimal, currency: str = "") -> Figure:
    """Return a decimal as a cell of a table, zero where it is absent."""
    return Figure(Decimal(number(value)), currency)


def money_decimal(value: money_pb2.Money) -> Decimal:
    """Return the exact amount of a Money."""
    return Decimal(value.units) + Decimal(f"{value.nanos}E-{NANOS}")


def amount(value: Decimal, currency: str) -> str:
    """Return an amount with at least the currency's decimals, thousands separated, and the currency."""
    return f"{_fixed(value, MINOR_UNITS.get(currency, 0))} {currency}".rstrip()


def number(value: decimal_pb2.Decimal) -> str:
    """Return a decimal as it came, zero where it is absent."""
    return value.value or "0"
