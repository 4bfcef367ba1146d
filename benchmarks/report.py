"""Results in three forms: lines on the console, a file of JSON, and a picture."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Figures, Run, medians
from benchmarks.machine import description

WIDTH, LEFT, BAR, GAP = 900, 300, 18, 8
COLOURS: Final = (
    "#2b4a6b",
    "#7b5ea7",
    "#b7862b",
    "#2e7d4f",
    "#8a4b4b",
    "#5b7083",
    "#a9b8c6",
    "#d9a7c7",
    "#97c1a9",
    "#c9b458",
)
NAME_CHARS: Final = 44


def number(value: float) -> str:
    """Return a figure with as many digits as it is worth."""
    if value == int(value) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3f}"


def run_text(run: Run) -> str:
    """Return the lines of one run."""
    mark = "LOADED, no result: " if run.load.loaded else ""
    lines = [f"{run.part}, {run.subject}, run {run.number}: {mark}{run.load}"]
    lines += [f"    {name:<{NAME_CHARS}} {number(value):>12}" for name, value in run.figures.items()]
    lines += [f"    WRONG: {problem}" for problem in run.problems]
    return "\n".join(lines)


def summary(runs: Sequence[Run]) -> str:
    """Return the medians of the quiet runs, those of all checkouts side by side."""
    found = medians(runs)
    lines = []
    for part in dict.fromkeys(run.part for run in runs):
        subjects = list(dict.fromkeys(run.subject for run in runs if run.part == part))
        columns = [found.get((part, subject), {}) for subject in subjects]
        counts = [
            f"{subject} {sum(not run.load.loaded for run in runs if (run.part, run.subject) == (part, subject))} of "
            f"{sum((run.part, run.subject) == (part, subject) for run in runs)} runs"
            for subject in subjects
        ]
        lines.append(f"\n{part}: medians of the quiet runs ({', '.join(counts)})")
        if not any(columns):
            lines.append("    none: every run was loaded; nothing here is a result")
            continue
        heads = "".join(f"{subject[:14]:>15}" for subject in subjects) + (
            "    after/before" if len(subjects) == 2 else ""
        )
        lines.append(f"    {'':<{NAME_CHARS}}{heads}")
        for name in dict.fromkeys(name for column in columns for name in column):
            values = [column.get(name) for column in columns]
            shown = "".join(f"{'-' if value is None else number(value):>15}" for value in values)
            lines.append(f"    {name:<{NAME_CHARS}}{shown}{_change(values)}")
    return "\n".join(lines)


def growth_text(runs: Sequence[Run]) -> str:
    """Return rounds of growth a line each: what is stored, rate and processor time, also beside the first round."""
    lines = [f"{'stored':>14}{'events/s':>12}{'to empty':>10}{'cpu µs':>10}{'to empty':>10}"]
    for run in runs:
        of = run.figures
        values = (of["events/s"], of["events/s to empty"], of["cpu in all µs"], of["cpu in all µs to empty"])
        shown = "".join(f"{number(value):>{width}}" for value, width in zip(values, (12, 10, 10, 10), strict=True))
        lines.append(f"{of['events stored']:>14,.0f}{shown}{'  LOADED' if run.load.loaded else ''}  {run.subject}")
    return "\n".join(lines)


def write(folder: Path, runs: Sequence[Run], arguments: dict[str, Any], checkouts: dict[str, Path]) -> Path:
    """Write the results beside their picture; return the file of JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    content = {
        "machine": description(),
        "checkouts": {name: _revision(checkout) for name, checkout in checkouts.items()},
        "arguments": arguments,
        "runs": [run.as_json() for run in runs],
        "medians": {f"{part} | {subject}": figures for (part, subject), figures in medians(runs).items()},
    }
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    file.with_suffix(".svg").write_text(picture(runs), encoding="utf-8")
    return file


def picture(runs: Sequence[Run]) -> str:
    """Return an SVG of processor time an event: a bar for each of the path's medians, in pieces by process.

    Where no run of the path is quiet it shows the last one, and says so.
    """
    found: dict[str, Figures] = {subject: of for (part, subject), of in medians(runs).items() if part == "path"}
    paths = [run for run in runs if run.part == "path"]
    title = "Processor microseconds an event, medians of quiet runs"
    if paths and not found:
        found, title = (
            {paths[-1].subject: paths[-1].figures},
            "Processor microseconds an event: a LOADED run, no result",
        )
    bars: list[tuple[str, dict[str, float]]] = []
    for subject, of in found.items():
        pieces = {name[4:-3]: value for name, value in of.items() if name.startswith("cpu ") and name.endswith(" µs")}
        bars += [(what, {what: pieces.pop(what, 0.0)}) for what in ("raw COPY", "plain SQL")]
        pieces.pop("in all", None)
        bars.append((f"whole path, {subject}", pieces))
    return _svg(title, bars)


def _svg(title: str, bars: Sequence[tuple[str, dict[str, float]]]) -> str:
    most = max((sum(pieces.values()) for _, pieces in bars), default=1.0) or 1.0
    names = list(dict.fromkeys(name for _, pieces in bars for name in pieces))
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    body, y = [f'<text x="20" y="30" font-size="17" font-weight="bold">{escape(title)}</text>'], 55.0
    for label, pieces in bars:
        x = float(LEFT)
        body.append(f'<text x="{LEFT - 10}" y="{y + BAR - 5:.0f}" text-anchor="end">{escape(label)}</text>')
        for name, value in pieces.items():
            width = value / most * (WIDTH - LEFT - 80)
            body.append(
                f'<rect x="{x:.1f}" y="{y:.0f}" width="{width:.1f}" height="{BAR}" fill="{colours[name]}">'
                f"<title>{escape(name)} {value:.1f}</title></rect>"
            )
            x += width
        body.append(f'<text x="{x + 6:.1f}" y="{y + BAR - 5:.0f}">{sum(pieces.values()):.1f}</text>')
        y += BAR + GAP
    for place, name in enumerate(names):
        left, top = 20 + place % 4 * 215, y + 20 + place // 4 * 20
        body.append(f'<rect x="{left}" y="{top:.0f}" width="12" height="12" fill="{colours[name]}"/>')
        body.append(f'<text x="{left + 18}" y="{top + 11:.0f}">{escape(name)}</text>')
    height = y + 40 + len(names) / 4 * 20
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}"'
    return "\n".join(
        (f'{head} font-family="Helvetica, Arial, sans-serif" font-size="13" fill="#1c2733">', *body, "</svg>\n")
    )


def _change(values: Sequence[float | None]) -> str:
    """Return the first checkout's figure over the second's: the first is the one that is looked at."""
    if len(values) != 2 or not values[0] or not values[1]:
        return ""
    return f"{values[0] / values[1]:>16.3f}"


def _revision(checkout: Path) -> str:
    done = subprocess.run(
        ["git", "-C", str(checkout), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
