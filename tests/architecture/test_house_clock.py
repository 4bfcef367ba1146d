"""Time comes from the clock that a part was given; one module reads the machine's."""

from __future__ import annotations

import ast

from house import COMMON, dotted, expect_none, product, sources

CLOCK = COMMON / "clock.py"
READS_THE_CLOCK = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "date.today",
    "datetime.date.today",
    "time.time",
    "time.time_ns",
    "time.gmtime",
    "time.localtime",
}
FROM_TIME = {"time", "time_ns", "gmtime", "localtime"}


def test_only_the_clock_module_reads_the_clock() -> None:
    expect_none(
        f"{source.at(node)}: {dotted(node.func)}()"
        for source in product()
        if source.path != CLOCK
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and dotted(node.func) in READS_THE_CLOCK
    )


def test_nobody_imports_the_clock_under_another_name() -> None:
    expect_none(
        source.at(node)
        for source in product()
        if source.path != CLOCK
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "time" and FROM_TIME & {name.name for name in node.names}
    )


def test_the_clock_module_is_the_one_that_reads_it() -> None:
    (clock,) = sources(CLOCK)
    assert [node for node in ast.walk(clock.tree) if isinstance(node, ast.Call) and dotted(node.func) == "datetime.now"]
