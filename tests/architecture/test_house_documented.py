"""Limits carry a unit or say what they are, settings are described, and functions that others call are explained."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator

import pytest
from apportion_common.settings import SERVICES, ServiceSettings
from house import COMMON, Function, Source, expect_none, package, product, sources
from pydantic.fields import FieldInfo

TIMES_AND_SIZES = {"US", "MS", "S", "H", "DAYS", "MONTHS", "BYTES", "CHARS"}
# fmt: off
THINGS = {
    "PLACES", "DIGITS", "ENTRIES", "EVENTS", "LINES", "MESSAGES", "KEYS", "PAIRS", "ROWS", "IDS", "ITEMS", "LANES",
    "ORGS", "ATTEMPTS", "ROUNDS", "CALLS", "CONNECTIONS", "PERCENT", "STREAMS", "TOKENS", "ROLES", "VIOLATIONS",
}
# fmt: on
AROUND_THE_UNIT = {"MAX", "MIN", "DEFAULT", "AHEAD", "PER", "LANE"}
NAME = re.compile(r"_?[A-Z][A-Z0-9_]*")


def limits() -> list[Source]:
    files = [package(service) / "limits.py" for service in SERVICES]
    return sources(
        *(file for file in (*files, COMMON / "lanes" / "limits.py", COMMON / "grpc" / "limits.py") if file.exists())
    )


@pytest.mark.parametrize("source", limits(), ids=lambda source: source.path.parent.name)
def test_every_limit_has_its_unit_in_its_name_or_says_what_it_is(source: Source) -> None:
    explained = _explained(source.tree)
    expect_none(
        f"{source.at(node)}: {name}"
        for name, node in _constants(source.tree)
        if name not in explained and not _names_a_unit(name)
    )


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_is_described_in_a_sentence(service: str) -> None:
    settings = importlib.import_module(f"apportion_{service}.settings").Settings
    assert issubclass(settings, ServiceSettings)
    assert settings.service_name() == service
    fields: dict[str, FieldInfo] = settings.model_fields
    expect_none(name for name, field in fields.items() if not (field.description or "").rstrip().endswith("."))


@pytest.mark.parametrize("service", SERVICES)
def test_no_setting_shows_a_password_when_settings_are_printed(service: str) -> None:
    fields: dict[str, FieldInfo] = importlib.import_module(f"apportion_{service}.settings").Settings.model_fields
    secret = {name for name in fields if re.search(r"password|secret|database_url", name)}
    expect_none(name for name in secret if fields[name].repr and "Secret" not in str(fields[name].annotation))


def test_every_module_says_what_it_is_for() -> None:
    expect_none(
        str(source.path)
        for source in product()
        if source.tree.body and source.path.name != "__init__.py" and not ast.get_docstring(source.tree)
    )


def test_every_public_function_and_class_says_what_it_does() -> None:
    """Methods of a private class and what is nested in a function speak for themselves."""
    expect_none(
        f"{source.at(node)}: {name}"
        for source in product()
        if "versions" not in source.path.parts  # An applied revision never changes; its notes say what it does.
        for name, node in _public(source.tree)
        if not ast.get_docstring(node)
    )


def test_no_work_is_left_as_a_note() -> None:
    note = re.compile(r"#.*\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK")) + r")\b")
    expect_none(
        f"{source.path}:{number}"
        for source in product()
        for number, line in enumerate(source.path.read_text(encoding="utf-8").splitlines(), 1)
        if note.search(line)
    )


def _constants(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            if isinstance(target, ast.Name) and NAME.fullmatch(target.id):
                yield target.id, node


def _explained(tree: ast.Module) -> set[str]:
    """Constants that a text stands below, or that share such a text with the ones right above."""
    found: set[str] = set()
    group: list[str] = []
    previous_line = 0
    for node in tree.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found.update(group)
            group = []
            continue
        names = [name for name, one in _constants(tree) if one is node]
        adjacent = node.lineno == previous_line + 1
        group = (group if adjacent else []) + names
        previous_line = node.end_lineno or node.lineno
    return found


def _names_a_unit(name: str) -> bool:
    words = name.split("_")
    while words and words[-1] in AROUND_THE_UNIT:
        words.pop()
    return {"PAGE", "SIZE"} <= set(name.split("_")) or (bool(words) and words[-1] in TIMES_AND_SIZES | THINGS)


def _public(tree: ast.Module) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    for node in tree.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield node.name, node
        if isinstance(node, ast.ClassDef) and not _is_protocol(node):
            methods = (method for method in node.body if isinstance(method, Function))
            yield from (
                (f"{node.name}.{method.name}", method)
                for method in methods
                if not method.name.startswith("_") and not _is_overload(method)
            )


def _is_protocol(node: ast.ClassDef) -> bool:
    return any("Protocol" in ast.unparse(base) for base in node.bases) and bool(ast.get_docstring(node))


def _is_overload(node: Function) -> bool:
    return any(ast.unparse(decorator) in ("overload", "override") for decorator in node.decorator_list)
