"""Money and quantities are Decimals or scaled integers. A binary fraction is for waiting and measuring only."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from apportion_common.settings import SERVICES
from house import COMMON, Source, dotted, expect_none, package, sources

COMMON_MONEY = [
    COMMON / name
    for name in (
        "money.py",
        "decimals.py",
        "protos.py",
        "ids.py",
        "db",
        "lanes/lane.py",
        "lanes/model.py",
        "lanes/publisher.py",
        "lanes/store.py",
    )
]
"""Of the lanes, what handles batches; their reader and runner wait and measure only."""
WAITING = {"random.uniform", "asyncio.sleep", "asyncio.wait_for", "asyncio.timeout"}
UNITS_OF_TIME = ("_s", "_ms")


def money_code() -> list[Source]:
    """Rules, use cases and tables of every service, and what of the common floor handles amounts or batches."""
    layers = [package(service) / layer for service in SERVICES for layer in ("domain", "app", "store")]
    return sources(*COMMON_MONEY, *layers)


def test_money_code_has_no_binary_fractions() -> None:
    expect_none(
        f"{source.at(node)}: {ast.unparse(node)}"
        for source, node in _nodes_beside_durations()
        if _is_float(node) or _is_float_call(node)
    )


def test_money_code_never_divides_into_a_binary_fraction() -> None:
    """`/` on integers gives a binary fraction; `//`, divmod and the helpers of `decimals` do not."""
    expect_none(
        f"{source.at(node)}: {ast.unparse(node)}"
        for source, node in _nodes_beside_durations()
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and not _is_time(node.left)
    )


def test_the_rule_sees_what_it_forbids() -> None:
    tree = ast.parse("half = 0.5\npart = float(whole)\nrest = total / 3\nlease_s = 1.5\npause_s = LONG_MS / 1000")
    found = [node for node in ast.walk(tree) if node not in _durations(tree)]
    assert [ast.unparse(node) for node in found if _is_float(node) or _is_float_call(node)] == ["0.5", "float(whole)"]
    assert [ast.unparse(node) for node in found if isinstance(node, ast.BinOp)] == ["total / 3"]


def _nodes_beside_durations() -> Iterator[tuple[Source, ast.AST]]:
    for source in money_code():
        durations = set(_durations(source.tree))
        yield from ((source, node) for node in ast.walk(source.tree) if node not in durations)


def _is_time(node: ast.AST) -> bool:
    return dotted(node).lower().endswith(UNITS_OF_TIME)


def _is_float(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, float)


def _is_float_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and dotted(node.func) in {"float", "math.fsum", "statistics.mean"}


def _durations(tree: ast.AST) -> list[ast.AST]:
    """What stands where only a time can stand: values of names that end in a unit of time, and waits."""
    found: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if all(_is_time(target) for target in targets):
                found.extend(ast.walk(node.value))
        elif isinstance(node, ast.keyword) and (node.arg or "").endswith(UNITS_OF_TIME):
            found.extend(ast.walk(node.value))
        elif isinstance(node, ast.Call) and dotted(node.func) in WAITING:
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                found.extend(ast.walk(argument))
    return found
