"""Write docs/status.md: every RPC of every service, who may call it, whether it is built, and what it answered.

`python -m scripts.status_table` writes the page; with `--check` it fails when the page says something else. Built means
that the service's servicer overrides the method that answers UNIMPLEMENTED; what was answered is read from
docs/observed-answers.json.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from apportion.options.v1 import options_pb2
from apportion_common.settings import SERVICES
from google.protobuf.descriptor import ServiceDescriptor

from scripts import observed
from scripts.observed import Answers, Observed, SeenRpc

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "status.md"

HEAD = """\
# Which RPCs there are, and what they answered

This page is written by `make docs` from the contracts, the services and
[what a test run has seen](observed-answers.json). *Over the wire* is what running servers answered; *without a server*
is what a service's method returned or raised, whoever called it. The reasons behind the statuses are on the page of
[errors](errors.md).

"""

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

    @property
    def state(self) -> str:
        """As the table says it."""
        return "implemented" if self.built else "UNIMPLEMENTED"

    @property
    def key(self) -> str:
        """As docs/observed-answers.json names it."""
        return f"{self.service} {self.name}"


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


def rpcs() -> list[Rpc]:
    """Return every RPC, in the order of the contracts."""
    rows = []
    for service in SERVICES:
        own = built(service)
        for method in descriptor(service).methods:
            extensions: Any = method.GetOptions().Extensions
            who = WHO[extensions[options_pb2.auth_level]]
            callers = list(extensions[options_pb2.callers])
            if callers:
                who += f"; of our own services only {', '.join(callers)}"
            rows.append(Rpc(service, method.name, who, method.name in own))
    return rows


def unanswered(rows: Sequence[Rpc], seen: Observed) -> list[str]:
    """Return the RPCs that are built and never answered as their caller wished."""
    return [row.key for row in rows if row.built and not seen.rpcs.get(row.key, SeenRpc()).is_answered]


def document(rows: Sequence[Rpc], seen: Observed) -> str:
    """Return the whole page."""
    count = sum(row.built for row in rows)
    lines = [
        f"{count} of {len(rows)} RPCs are implemented; the others answer `UNIMPLEMENTED`, reason `NOT_IMPLEMENTED`.",
        "",
        "| service | RPC | who may call | state | answered over the wire | without a server |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        found = seen.rpcs.get(row.key, SeenRpc())
        answers = f"{_shown(found.wire)} | {_shown(found.servicer)}"
        lines.append(f"| {row.service} | `{row.name}` | {row.who} | {row.state} | {answers} |")
    return HEAD + "\n".join(lines) + "\n"


def _shown(answers: Answers) -> str:
    """Return the statuses, OK first."""
    return ", ".join(sorted(answers, key=lambda status: (status != "OK", status)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when docs/status.md is not up to date")
    args = parser.parse_args()
    text = document(rpcs(), observed.load())
    if args.check:
        if DOCUMENT.exists() and DOCUMENT.read_text(encoding="utf-8") == text:
            return 0
        print("docs/status.md is not up to date; run `make docs`.")
        return 1
    DOCUMENT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
