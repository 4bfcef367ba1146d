"""Write the status table of README.md: every RPC of every service, whether it is built, and which tests exercise it.

`python scripts/status_table.py` writes the table between its two marks; with `--check` it fails when the README says
something else. Built means that the service's servicer overrides the method that answers UNIMPLEMENTED.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from apportion.options.v1 import options_pb2
from apportion_common.settings import SERVICES
from google.protobuf.descriptor import ServiceDescriptor

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- status table: written by make docs -->\n", "<!-- end of status table -->\n"
FILES_SHOWN = 2

WHO = {
    options_pb2.AUTH_LEVEL_PUBLIC: "anyone",
    options_pb2.AUTH_LEVEL_AUTHENTICATED: "any token",
    options_pb2.AUTH_LEVEL_ORG_USER: "its organisation",
    options_pb2.AUTH_LEVEL_ORG_ADMIN: "its organisation's admins",
    options_pb2.AUTH_LEVEL_ORG_OWNER: "its organisation's owners",
    options_pb2.AUTH_LEVEL_SERVICE: "services",
    options_pb2.AUTH_LEVEL_FINANCE: "finance",
    options_pb2.AUTH_LEVEL_OPERATOR: "operators",
}


@dataclass(frozen=True)
class Rpc:
    """One row of the table."""

    service: str
    name: str
    who: str
    built: bool
    tests: tuple[str, ...]

    @property
    def state(self) -> str:
        """As the table says it."""
        return "implemented" if self.built else "UNIMPLEMENTED"


def descriptor(service: str) -> ServiceDescriptor:
    """The contract of a service."""
    module = importlib.import_module(f"apportion.{service}.v1.{service}_service_pb2")
    found: ServiceDescriptor = module.DESCRIPTOR.services_by_name[f"{service.title()}Service"]
    return found


def built(service: str) -> set[str]:
    """Names of the RPCs that the service's servicer answers itself."""
    stubs = importlib.import_module(f"apportion.{service}.v1.{service}_service_pb2_grpc")
    base: type = getattr(stubs, f"{service.title()}ServiceServicer")
    names = [method.name for method in descriptor(service).methods]
    return {
        name
        for module in _rpc_modules(service)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if kind is not base and issubclass(kind, base)
        for name in names
        if getattr(kind, name) is not getattr(base, name)
    }


def _rpc_modules(service: str) -> Iterator[ModuleType]:
    package = importlib.import_module(f"apportion_{service}.rpc")
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(found.name)


@cache
def _tests() -> dict[Path, str]:
    """The text of every test and of what tests are made of; house rules and tests of the floor call no service."""
    files = {
        file for place in ("libs/cli/tests", "services/*/tests", "tests") for file in ROOT.glob(f"{place}/**/*.py")
    }
    ours = (file for file in sorted(files) if "architecture" not in file.parts)
    return {file: file.read_text(encoding="utf-8") for file in ours}


def exercised_by(service: str, name: str, *, unique: bool) -> tuple[str, ...]:
    """Test files that call the RPC; a name that several services have counts in the service's own tests only."""
    called = re.compile(rf"\b{name}\b(?!Request|Response)")
    files = (
        file
        for file, text in _tests().items()
        if called.search(text) and (unique or f"/services/{service}/" in file.as_posix())
    )
    return tuple(file.relative_to(ROOT).as_posix() for file in files)


def rpcs() -> list[Rpc]:
    """Every RPC, in the order of the contracts."""
    names = [method.name for service in SERVICES for method in descriptor(service).methods]
    rows = []
    for service in SERVICES:
        own = built(service)
        for method in descriptor(service).methods:
            is_built = method.name in own
            tests = exercised_by(service, method.name, unique=names.count(method.name) == 1) if is_built else ()
            extensions: Any = method.GetOptions().Extensions
            who = WHO[extensions[options_pb2.auth_level]]
            rows.append(Rpc(service, method.name, who, is_built, tests))
    return rows


def table(rows: Sequence[Rpc]) -> str:
    """The table in Markdown, with a count above it."""
    count = sum(row.built for row in rows)
    lines = [
        f"{count} of {len(rows)} RPCs are implemented; the others answer `UNIMPLEMENTED`, reason `NOT_IMPLEMENTED`.",
        "",
        "| service | RPC | who may call | state | exercised by |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [f"| {row.service} | `{row.name}` | {row.who} | {row.state} | {_shown(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _shown(row: Rpc) -> str:
    if not row.built:
        return ""
    # The service's own tests say most about an RPC.
    files = sorted(row.tests, key=lambda file: (f"services/{row.service}/" not in file, "/test_" not in file, file))
    return ", ".join(f"[{Path(file).stem}]({file})" for file in files[:FILES_SHOWN]) or "no test of its own"


def split(readme: str) -> tuple[str, str, str]:
    """The README before, in and after the table. Raises ValueError when a mark is missing."""
    before, begin, rest = readme.partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("README.md lacks the marks of the status table.")
    return before, inside, after


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when the README says something else")
    args = parser.parse_args()
    before, inside, after = split(README.read_text(encoding="utf-8"))
    text = table(rpcs())
    if args.check:
        if inside == text:
            return 0
        print("README.md's status table is not what the services are; run `make docs`.")
        return 1
    README.write_text(before + BEGIN + text + END + after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
