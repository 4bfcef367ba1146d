"""Writes docs/trees.md: the five services side by side, room by room, and what each role is called.

Used by `make docs`; tests/architecture keeps the page fresh and the rooms to their roles.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Final

from apportion_common.settings import SERVICES

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "trees.md"
LINES_MAX: Final = 400
"""Of a module; what is longer has more than one subject."""

ROOMS: Final = (
    ("rpc", "`<Subject>Rpcs`, joined by one `<Service>Servicer`; `messages.py`: `<x>_from_message`, `<x>_to_message`"),
    ("smtp", "the mail gateway, a door beside rpc"),
    ("consumers", "what takes from NATS: the processors of lanes, and consumers of events"),
    ("jobs", "`<Noun>Job`: what runs by the clock"),
    ("app", "use cases: a plural noun whose methods are verbs; the only place that opens transactions; `edges.py`"),
    ("store", "`<Subject>Store`: the own database"),
    ("adapters", "whatever else is reached: other services, DNS, NATS, files"),
    ("domain", "rules: functions and frozen values; no database, no wire, no clock"),
)
"""The rooms from the outermost layer to the innermost, and what lives there."""
HEAD: Final = f"""# The five trees

Written by `make docs`. A service is
`__main__ > wiring > rpc | smtp | consumers | jobs > app > store | adapters > domain`; imports go downwards.
The same room has the same name and the same kind of thing in it: who knows one service knows all.
A module has at most {LINES_MAX} lines.
"""


def package(service: str) -> Path:
    """Return the folder of a service's package."""
    return ROOT / "services" / service / "src" / f"apportion_{service}"


def files(service: str, room: str) -> list[str]:
    """Return the modules of a room, by name."""
    folder = package(service) / room
    found = (file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.py"))
    return sorted(name for name in found if not name.endswith("__init__"))


def protocols() -> dict[str, int]:
    """Return how many Protocols each service declares."""
    return {
        service: sum(
            isinstance(node, ast.ClassDef) and any("Protocol" in ast.dump(base) for base in node.bases)
            for file in package(service).rglob("*.py")
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        )
        for service in SERVICES
    }


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for room, role in ROOMS:
        columns = [files(service, room) for service in SERVICES]
        parts.append(
            f"\n## {room}\n\n{role[0].upper()}{role[1:]}.\n\n| {' | '.join(SERVICES)} |\n{'| --- ' * len(SERVICES)}|\n"
        )
        for row in range(max(map(len, columns))):
            cells = (f"`{column[row]}`" if row < len(column) else "" for column in columns)
            parts.append(f"| {' | '.join(cells)} |\n")
    counts = protocols()
    parts.append(
        "\n## Protocols\n\nOnly where something has a second implementation: another service, DNS, a provider,"
        " a charge model.\n\n"
    )
    parts.append(f"| {' | '.join(SERVICES)} |\n{'| --- ' * len(SERVICES)}|\n")
    parts.append(f"| {' | '.join(str(counts[service]) for service in SERVICES)} |\n")
    return "".join(parts)


def main() -> int:
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
