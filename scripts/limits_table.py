"""Write docs/limits.md: every named limit of every `limits.py`, read from the code itself.

`python -m scripts.limits_table` writes the page; with `--check` it fails when the page is not what the code says. A
limit is a constant of a module called limits.py, with its unit in its name; the text below it, or below the last of
several that follow one another, says what it is.
"""

from __future__ import annotations

import argparse
import ast
import re
import runpy
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "limits.md"
PLACES = ("services/*/src", "libs/*/src")
NAME = re.compile(r"[A-Z][A-Z0-9_]*")
AROUND_THE_UNIT = {"MAX", "MIN", "DEFAULT", "AHEAD", "FIRST", "LAST"}
"""Words that may stand behind the unit."""
UNITS = {
    "US": "µs",
    "MS": "ms",
    "S": "s",
    "H": "h",
    "PAGE": "entries",
    "UPS": "look-ups",
    "SIZE": "entries",
    "BURST": "at once",
}
"""Units whose word in a name is not the unit's own."""
RATES = {"S": "second"}

HEAD = """\
# Limits

Everything that bounds something: the numbers of every `limits.py`, with their units. What an operator can set is not
here but in each service's `settings.py`. This page is written from the code by `make docs`.
"""


@dataclass(frozen=True)
class Limit:
    """One named limit."""

    name: str
    value: object
    text: str

    @property
    def unit(self) -> str:
        """The unit that the name ends in, but for words such as MAX."""
        words = self.name.split("_")
        while len(words) > 1 and words[-1] in AROUND_THE_UNIT:
            words.pop()
        if "PER" in words[1:-1]:
            place = words.index("PER")
            per = " ".join(words[place + 1 :])
            return f"{words[place - 1].lower()} per {RATES.get(per, per.lower())}"
        return UNITS.get(words[-1], words[-1].lower())


def files() -> list[Path]:
    """Return every limits.py of the workspace: the services', then the libraries'."""
    return [
        file for place in PLACES for folder in sorted(ROOT.glob(place)) for file in sorted(folder.rglob("limits.py"))
    ]


def limits(file: Path) -> list[Limit]:
    """Return the limits of a file, in its order."""
    values = runpy.run_path(str(file))
    return [Limit(name, values[name], text) for name, text in _constants(ast.parse(file.read_text(encoding="utf-8")))]


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield names with their texts: that of the name right above a text, and of those above it with its first word."""
    group: list[str] = []
    previous_line = 0
    for node in tree.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            text = " ".join(str(node.value.value).split())
            yield from ((name, text if _first(name) == _first(group[-1]) else "") for name in group)
            group = []
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            if node.lineno != previous_line + 1:
                yield from ((name, "") for name in group)
                group = []
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            group += [one.id for one in targets if isinstance(one, ast.Name) and NAME.fullmatch(one.id)]
        previous_line = node.end_lineno or node.lineno
    yield from ((name, "") for name in group)


def _first(name: str) -> str:
    return name.partition("_")[0]


def title(file: Path) -> str:
    """Return `ledger`, or `common: lanes` where a package has a limits.py of its own."""
    parts = file.parent.parts
    place = next(i for i, part in enumerate(parts) if part.startswith("apportion_"))
    inside = "/".join(parts[place + 1 :])
    return parts[place].removeprefix("apportion_") + (f": {inside}" if inside else "")


def shown(limit: Limit) -> str:
    """Return a limit's value as people read it."""
    number = isinstance(limit.value, int | float) and limit.unit != "year"
    return f"{limit.value:,}" if number else f"`{limit.value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def document() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for file in files():
        parts.append(f"\n## {title(file)}\n\n| limit | value | unit | what it bounds |\n| --- | ---: | --- | --- |\n")
        parts += [f"| `{one.name}` | {shown(one)} | {one.unit} | {_cell(one.text)} |\n" for one in limits(file)]
    return "".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when docs/limits.md is not what the code says")
    args = parser.parse_args()
    text = document()
    if args.check:
        if DOCUMENT.exists() and DOCUMENT.read_text(encoding="utf-8") == text:
            return 0
        print("docs/limits.md is not what the code says; run `make docs`.")
        return 1
    DOCUMENT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
