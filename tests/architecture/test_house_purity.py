"""Rules are pure: `domain/` imports the standard library, the base's money, time, id and error types, the service's
limits and errors, and itself.

The import contracts say what it must not import; this says what it may.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator

import pytest
from apportion_common.settings import SERVICES
from house import COMMON, Source, dotted, expect_none, package, sources

FLOOR = {
    f"apportion_common.{name}"
    for name in ("money", "decimals", "ids", "errors", "instants", "periods", "period_closes", "skus", "topology")
}
OUTSIDE_WORLD = {
    "asyncio", "http", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "select", "shutil",
    "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "urllib", "queue",
}  # fmt: skip
"""Of the standard library, what is not a function of its arguments."""
PURE_LIBRARIES = {"identity": {"cryptography", "idna", "nacl", "spf"}}
"""What rules may compute with beside it. `spf` asks the DNS by itself; it is given answers in place of that."""


@pytest.mark.parametrize("service", SERVICES)
def test_a_services_rules_import_pure_code_only(service: str) -> None:
    own = f"apportion_{service}.domain"
    beside = {own, f"apportion_{service}.limits", f"apportion_{service}.errors"}
    libraries = PURE_LIBRARIES.get(service, set())
    expect_none(
        f"{source.at(node)}: {module}"
        for source in sources(package(service) / "domain")
        for module, node in _imports(source)
        if not (module in beside or module.startswith(f"{own}.") or module in FLOOR or _is_pure_standard(module))
        and module.partition(".")[0] not in libraries
    )


@pytest.mark.parametrize("service", SERVICES)
def test_errors_know_limits_and_the_tree_of_errors_only(service: str) -> None:
    """So rules may raise them."""
    expect_none(
        f"{source.at(node)}: {module}"
        for source in sources(*package(service).glob("errors.py"))
        for module, node in _imports(source)
        if not (module == f"apportion_{service}.limits" or module in FLOOR or _is_pure_standard(module))
    )


@pytest.mark.parametrize("service", SERVICES)
def test_limits_are_numbers_and_nothing_else(service: str) -> None:
    expect_none(
        f"{source.at(node)}: {module}"
        for source in sources(package(service) / "limits.py")
        for module, node in _imports(source)
        if not _is_pure_standard(module)
    )


def test_the_types_that_rules_may_import_are_pure_themselves() -> None:
    files = [COMMON / f"{module.rpartition('.')[2]}.py" for module in FLOOR]
    # `ids` draws UUIDv7 from the clock and from chance; no rule does, as the next test shows.
    allowed = {("ids.py", "apportion_common.clock"), ("ids.py", "secrets"), ("ids.py", "os"), ("ids.py", "threading")}
    expect_none(
        f"{source.at(node)}: {module}"
        for source in sources(*files)
        for module, node in _imports(source)
        if not (module in FLOOR or _is_pure_standard(module) or (source.path.name, module) in allowed)
    )


@pytest.mark.parametrize("service", SERVICES)
def test_no_rule_draws_an_id(service: str) -> None:
    expect_none(
        source.at(node)
        for source in sources(package(service) / "domain")
        for node in ast.walk(source.tree)
        if dotted(node).rpartition(".")[2] in {"uuid1", "uuid4", "uuid7"}
        or (isinstance(node, ast.ImportFrom) and {"uuid1", "uuid4", "uuid7"} & {name.name for name in node.names})
    )


@pytest.mark.parametrize("service", SERVICES)
def test_no_rule_waits(service: str) -> None:
    expect_none(
        source.at(node)
        for source in sources(package(service) / "domain")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.AsyncFunctionDef | ast.Await)
    )


def _imports(source: Source) -> Iterator[tuple[str, ast.stmt]]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((name.name, node) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and re.fullmatch(r"apportion_[a-z]+", node.module or ""):
            yield from ((f"{node.module}.{name.name}", node) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ".", node


def _is_pure_standard(module: str) -> bool:
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names and top not in OUTSIDE_WORLD
