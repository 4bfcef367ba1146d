"""Prints compared figures, a line each, section by section."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.text import Text

from apportion_cli.display import console, print_line
from apportion_cli.verify.figures import ABSENT, Compared

NAME_WIDTH = 56


def show(compared: Iterable[Compared], *, brief: bool = False) -> tuple[int, int]:
    """Print every figure (the differing ones only, when brief); return how many there are and how many differ."""
    sections: dict[str, list[Compared]] = {}
    for figure in compared:
        sections.setdefault(figure.name[0], []).append(figure)
    totals: Counter[bool] = Counter()
    for section, figures in sections.items():
        right = sum(figure.same for figure in figures)
        totals[True] += right
        totals[False] += len(figures) - right
        print_line(
            f"{section}: {right:,} of {len(figures):,} figures are right",
            "bold" if right == len(figures) else "bold red",
        )
        for figure in figures:
            if not (brief and figure.same):
                _line(figure)
    return totals.total(), totals[False]


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
