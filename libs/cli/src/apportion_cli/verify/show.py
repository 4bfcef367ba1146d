"""Prints compared figures, a line each, section by section."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import groupby

from rich.text import Text

from apportion_cli.display import console, say
from apportion_cli.verify.figures import ABSENT, Compared

NAME_WIDTH = 56


def show(compared: Iterable[Compared], *, brief: bool = False) -> tuple[int, int]:
    """Print every figure (the differing ones only, when brief); gives how many there are and how many differ."""
    totals: Counter[bool] = Counter()
    for section, group in groupby(sorted(compared, key=_section_first), key=lambda figure: figure.name[0]):
        figures = list(group)
        right = sum(figure.same for figure in figures)
        totals[True] += right
        totals[False] += len(figures) - right
        say(
            f"{section}: {right:,} of {len(figures):,} figures are right",
            "bold" if right == len(figures) else "bold red",
        )
        for figure in figures:
            if not (brief and figure.same):
                _line(figure)
    return totals.total(), totals[False]


def _section_first(figure: Compared) -> str:
    return figure.name[0]


def _line(figure: Compared) -> None:
    style = "green" if figure.same else "red"
    name = " ".join(figure.name[1:]) or figure.name[0]
    expected = ABSENT if figure.expected is None else figure.expected
    found = ABSENT if figure.found is None else figure.found
    text = Text()
    text.append("  ok    " if figure.same else "  WRONG ", style=style)
    text.append(f"{name:<{NAME_WIDTH}} ")
    text.append(f"expected {expected}  found {found}", style=style)
    console.print(text)
