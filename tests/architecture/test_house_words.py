"""One thing has one name, and the name is the field's: docs/glossary.md has the product's own words, this the others.

Names are looked at in code, sentences in docstrings and in the documentation. What a released contract or an applied
migration calls a thing stays as it is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from apportion_common.settings import SERVICES
from house import ROOT, Function, Source, expect_none, package, sources

GLOSSARY: Final = ROOT / "docs" / "glossary.md"
GLOSSARY_WORDS_MAX: Final = 30
LIBRARIES: Final = ("common", "migrate", "client", "dev", "cli")
GENERATED: Final = {"errors.md", "limits.md", "parties.md", "status.md", "trees.md"}
"""Pages whose sentences are the code's own, where they are looked at."""


class Instead(NamedTuple):
    """A word that nobody uses here, as a pattern, and what to say in its place."""

    word: str
    instead: str


IN_NAMES: Final = (
    Instead(r"pos", "batch_seq, or cursor"),
    Instead(r"stretch(?:es)?", "segment"),
    Instead(r"ladders?", "price table, or tiers"),
    Instead(r"horizons?", "watermark"),
    Instead(r"announc\w*", "publish"),
    Instead(r"refusals?", "rejection"),
    Instead(r"judg\w*", "verify"),
    Instead(r"patiently", "retry_until_available"),
    Instead(r"floor", "base"),
    Instead(r"anew", "again"),
    Instead(r"halves", "bisect"),
)
"""Words of identifiers: each part of a snake_case or CamelCase name is one."""
NAMES_APART: Final = {"floor_to_minor", "charge_refusal"}
"""A rounding downwards, and a table whose name released migrations have."""
FUNCTIONS: Final = {"say": "print_line", "in_rounds": "run_periodically", "narrow": "bisect"}
SUFFIXES: Final = {"Book": "Index, or Store", "Books": "Store", "Desk": "a plural", "Keeper": "Job"}
"""Ends of names of classes."""
IN_SENTENCES: Final = (
    Instead(r"gives?(?! up\b| way\b)", "return, or what is really done"),
    Instead(r"anew", "again"),
    Instead(r"of before", "existing, or old"),
    Instead(r"for ever", "forever"),
    Instead(r"stretch(?:es)?", "segment"),
    Instead(r"ladders?", "price table, or tiers"),
    Instead(r"horizons?", "watermark"),
    Instead(r"announce(?:s|d|ment|ments)?|announcing", "publish, or event"),
    Instead(r"refusals?", "rejection"),
    Instead(r"judg(?:e|es|ed|ing|ement|ements)", "verify"),
    Instead(r"patiently", "until it is available"),
    Instead(r"the floor(?:'s)?", "the base"),
    Instead(r"set(?:s|ting)? aside", "quarantine"),
    Instead(r"(?:hands|handed|handing) (?:it |them )?on|hand (?:it|them) on", "publish"),
    Instead(r"takes? up|taken up", "claim"),
    Instead(r"put behind", "demote"),
    Instead(r"house rules?", "architecture test"),
)
"""Words of docstrings and of docs/*.md."""
# fmt: off
NO_VERBS: Final = {
    "The", "A", "An", "What", "Whether", "One", "Every", "How", "Where", "Why", "Who", "Which", "Whose", "All", "Each",
    "Id", "Ids", "Rows", "Row", "Of", "From", "Nothing", "Everything", "Something", "None", "Our", "This", "These",
    "Those", "Its", "Seconds", "Microseconds", "Text", "As", "Names", "Returns", "Raises", "Yields", "Makes", "Gives",
}
# fmt: on
"""No docstring of a function begins so: it says what the function does, as an order."""
LIMIT: Final = re.compile(r"_?(?:MAX|MIN)_[A-Z0-9_]+|_?[A-Z][A-Z0-9_]*_(?:MAX|MIN)(?:_(?:S|MS|US|BYTES|CHARS))?")


def code() -> list[Source]:
    """Every module of the services and libraries, but for revisions, which never change."""
    folders = [ROOT / "libs" / name / "src" for name in LIBRARIES] + [package(service) for service in SERVICES]
    return [source for source in sources(*folders) if source.path.parent.name != "versions"]


def pages() -> list[Path]:
    """The pages that are written by hand."""
    return [file for file in sorted((ROOT / "docs").rglob("*.md")) if file.name not in GENERATED]


def glossary() -> list[list[str]]:
    """The rows of the glossary's table."""
    lines = GLOSSARY.read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def names(source: Source) -> Iterator[tuple[str, ast.AST]]:
    """What a module names itself: its classes, functions, parameters, variables and attributes."""
    for node in ast.walk(source.tree):
        if isinstance(node, Function | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.arg):
            yield node.arg, node
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node


def parts(name: str) -> list[str]:
    """The words of a name, in lower case."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)]


def texts(source: Source) -> Iterator[tuple[str, ast.AST]]:
    """The docstrings of a module, its classes and functions, and the texts below constants."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Module | Function | ast.ClassDef) and (text := ast.get_docstring(node)):
            yield text, node
    for node in source.tree.body[1:]:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value, node


def test_the_glossary_is_short_and_says_each_word_in_one_sentence() -> None:
    rows = glossary()
    assert 0 < len(rows) <= GLOSSARY_WORDS_MAX
    expect_none(word for word, meaning in rows if not meaning.endswith(".") or ". " in meaning)
    assert len({word for word, _ in rows}) == len(rows)


@pytest.mark.parametrize("banned", IN_NAMES, ids=lambda banned: banned.word)
def test_no_name_has_a_word_that_has_a_better_one(banned: Instead) -> None:
    word = re.compile(banned.word)
    expect_none(
        f"{source.at(node)}: {name}: say {banned.instead}"
        for source in code()
        for name, node in names(source)
        if name not in NAMES_APART and any(word.fullmatch(part) for part in parts(name))
    )


def test_functions_have_the_fields_names() -> None:
    expect_none(
        f"{source.at(node)}: {node.name}: say {FUNCTIONS[node.name.lstrip('_')]}"
        for source in code()
        for node in ast.walk(source.tree)
        if isinstance(node, Function) and node.name.lstrip("_") in FUNCTIONS
    )


def test_no_class_is_a_book_a_desk_or_a_keeper_and_a_dead_letter_has_its_whole_name() -> None:
    def better(name: str) -> str:
        *before, last = re.findall(r"[A-Z][a-z0-9]*", name) or [name]
        if last in ("Letter", "Letters") and before[-1:] != ["Dead"]:
            return "DeadLetter"
        return SUFFIXES.get(last, "")

    expect_none(
        f"{source.at(node)}: {node.name}: say {better(node.name)}"
        for source in code()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and better(node.name)
    )


@pytest.mark.parametrize("banned", IN_SENTENCES, ids=lambda banned: banned.word)
def test_no_docstring_has_a_word_that_has_a_better_one(banned: Instead) -> None:
    word = re.compile(rf"\b(?:{banned.word})\b", re.IGNORECASE)
    expect_none(
        f"{source.at(node)}: {hit.group()}: say {banned.instead}"
        for source in code()
        for text, node in texts(source)
        for hit in word.finditer(" ".join(text.split()))
    )


@pytest.mark.parametrize("banned", IN_SENTENCES, ids=lambda banned: banned.word)
def test_no_page_has_a_word_that_has_a_better_one(banned: Instead) -> None:
    word = re.compile(rf"\b(?:{banned.word})\b", re.IGNORECASE)
    expect_none(
        f"{file.relative_to(ROOT)}:{number}: {hit.group()}: say {banned.instead}"
        for file in pages()
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        for hit in word.finditer(line)
    )


def test_the_docstring_of_a_function_is_an_order() -> None:
    """Properties and constructors are what they are, and so are methods of a Protocol's stub."""
    expect_none(
        f"{source.at(node)}: {node.name}: {text.splitlines()[0]}"
        for source in code()
        for node in ast.walk(source.tree)
        if isinstance(node, Function) and node.name != "__init__" and not _is_property(node)
        if (text := ast.get_docstring(node)) and text.split()[0] in NO_VERBS
    )


@pytest.mark.parametrize("service", SERVICES)
def test_limits_are_in_limits_alone(service: str) -> None:
    expect_none(
        f"{source.at(node)}: {target.id}"
        for source in sources(package(service))
        if source.path.name != "limits.py" and "migrations" not in source.path.parts
        for node in source.tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and LIMIT.fullmatch(target.id) and _is_number(node.value)
    )


def _is_property(node: Function) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


def _is_number(node: ast.expr | None) -> bool:
    """Whether an expression is written in numbers alone."""
    return node is not None and all(
        isinstance(one, ast.Constant) and isinstance(one.value, int | float)
        for one in ast.walk(node)
        if isinstance(one, ast.Name | ast.Attribute | ast.Constant | ast.Call)
    )
