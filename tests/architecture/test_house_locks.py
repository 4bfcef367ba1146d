"""Who locks several rows says in which order, or skips what others hold: nobody waits in a circle.

Static: every SQL text and every statement that locks rows has an ORDER BY or SKIP LOCKED, or is listed here as one that
locks a single row.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from apportion_common.settings import SERVICES
from house import COMMON, ROOT, Source, expect_none, package, sources

LOCKS = re.compile(r"\bFOR\s+((NO\s+KEY\s+)?UPDATE|(KEY\s+)?SHARE)\b")
ORDERED = re.compile(r"\bORDER\s+BY\b|\bSKIP\s+LOCKED\b")

SINGLE_ROWS = {
    "apportion_common/db/head.py:_LOCK",
    "apportion_identity/store/invitations.py:lock_invitation",
    "apportion_identity/store/join_requests.py:lock_join_request",
    "apportion_identity/store/members.py:lock_role",
    "apportion_identity/store/users.py:lock_user",
    "apportion_ledger/store/settlements.py:_LOCK_OF_PAYOUT",
    "apportion_orgs/store/billing_accounts.py:lock",
}
"""They name the row by its key."""


def looked_at() -> list[Source]:
    """The modules whose transactions run beside others; migrations and their tools have locks of their own."""
    found = sources(COMMON, *(package(service) for service in SERVICES))
    return [source for source in found if "migrations" not in source.path.parts]


def sql_of(node: ast.AST) -> str:
    """The text of a string expression; what is put into an f-string is left out."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(sql_of(part) for part in node.values)
    return ""


def locks_without_order(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the texts and calls that lock rows in no order."""
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if id(node) in documented | parts:
            continue
        text = sql_of(node)
        if text and LOCKS.search(text) and not ORDERED.search(text):
            yield node
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "with_for_update":
            names = {inner.attr for inner in ast.walk(node.func.value) if isinstance(inner, ast.Attribute)}
            skips = any(keyword.arg == "skip_locked" for keyword in node.keywords)
            if "order_by" not in names and not skips:
                yield node


def unordered(source: Source) -> Iterator[tuple[str, ast.AST]]:
    """Yield what locks rows in no order, each with the constant or function that it stands in."""
    named = [node for node in ast.walk(source.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for statement in source.tree.body:
        target = getattr(statement, "target", None) or next(iter(getattr(statement, "targets", [])), None)
        if isinstance(target, ast.Name):
            for node in locks_without_order(statement):
                yield f"{_place(source)}:{target.id}", node
    for function in named:
        for node in locks_without_order(function):
            yield f"{_place(source)}:{function.name}", node


def _place(source: Source) -> str:
    relative = source.path.relative_to(ROOT).as_posix()
    return relative.partition("/src/")[2]


def test_who_locks_several_rows_says_in_which_order() -> None:
    expect_none(
        f"{source.at(node)}: locks rows in no order: say ORDER BY or SKIP LOCKED, or list it if it locks a single one"
        for source in looked_at()
        for name, node in unordered(source)
        if name not in SINGLE_ROWS
    )


def test_what_is_listed_as_locking_a_single_row_is_there() -> None:
    assert {name for source in looked_at() for name, _ in unordered(source)} == SINGLE_ROWS


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('L = "SELECT 1 FROM t WHERE id = ANY(:ids) FOR NO KEY UPDATE"', 1),
        ('L = f"SELECT {a} FROM t " "WHERE x FOR SHARE OF t"', 1),
        ('L = "SELECT 1 FROM t ORDER BY id FOR UPDATE"', 0),
        ('L = "SELECT 1 FROM t LIMIT 1 FOR UPDATE SKIP LOCKED"', 0),
        ("L = select(t).where(x).with_for_update()", 1),
        ("L = select(t).order_by(t.c.id).with_for_update()", 0),
        ("L = select(t).with_for_update(skip_locked=True)", 0),
    ],
)
def test_the_rule_sees_a_lock_without_an_order(code: str, found: int) -> None:
    assert len(list(locks_without_order(ast.parse(code)))) == found
