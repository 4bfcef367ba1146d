"""Looks for code that nothing in the product calls: what only tests call is no part of it.

A part of `make check`. Vulture finds the candidates by name; what it cannot see, because a library calls it or because
it is there to be read by people, stands in dead_code_allowed.toml with the reason. An entry that is no longer needed is
an error too.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vulture import Vulture

ROOT: Final = Path(__file__).resolve().parent.parent
ALLOWED: Final = ROOT / "scripts" / "dead_code_allowed.toml"
PRODUCT: Final = ("libs/*/src", "services/*/src", "scripts", "benchmarks", "conftest.py")
TESTS: Final = ("libs/*/tests", "services/*/tests", "tests")
FOR_TESTS: Final = "libs/dev/src/"
"""What is there for tests: their calls count."""
DECORATORS: Final = ["@*.command*", "@*.callback*", "@pytest.fixture*", "@pytest_asyncio.fixture*", "@*_validator*"]
"""Who is registered by one of these is called by the library that it is registered with."""
NAMES: Final = [
    *("revision", "down_revision", "branch_labels", "depends_on", "NOTES", "upgrade", "downgrade"),
    *("CHECKS", "FIXES", "MIGRATION", "model_config", "pytest_*"),
]
"""What Alembic, the conductor, pydantic and pytest look for by name."""


def unused(places: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """Return what nothing in these places uses, as (file, name, what it is)."""
    files = sorted({str(found) for place in places for found in ROOT.glob(place)})
    looking = Vulture(ignore_names=NAMES, ignore_decorators=DECORATORS)
    looking.scavenge(files, exclude=["*/__pycache__/*"])
    for item in looking.get_unused_code(min_confidence=60):
        file = Path(item.filename).resolve().relative_to(ROOT).as_posix()
        called_by_grpc = "/rpc/" in file and item.typ == "method" and item.name[0].isupper()
        a_table = file.endswith("store/tables.py") and item.typ == "variable"
        if not called_by_grpc and not a_table:
            yield file, item.name, item.typ


def findings() -> list[tuple[str, str, str]]:
    """Return what nothing uses, sorted."""
    product = [found for found in unused(PRODUCT) if not found[0].startswith(FOR_TESTS)]
    for_tests = [found for found in unused((*PRODUCT, *TESTS)) if found[0].startswith(FOR_TESTS)]
    return sorted({*product, *for_tests})


def main() -> int:
    allowed: dict[str, dict[str, str]] = tomllib.loads(ALLOWED.read_text(encoding="utf-8"))
    found = findings()
    names = {(file, name) for file, name, _ in found}
    complaints = [
        f"{file}: nothing uses the {kind} {name}" for file, name, kind in found if name not in allowed.get(file, {})
    ]
    complaints += [
        f"{ALLOWED.relative_to(ROOT)}: {file} {name} needs no leave any more"
        for file, entries in allowed.items()
        for name in entries
        if (file, name) not in names
    ]
    print("\n".join(complaints) or f"nothing unused, {sum(map(len, allowed.values()))} names allowed with a reason")
    return bool(complaints)


if __name__ == "__main__":
    sys.exit(main())
