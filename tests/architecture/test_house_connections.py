"""Connections of the database are lent by one module, and nothing about a session outlives a transaction."""

from __future__ import annotations

import ast
import re

from house import COMMON, dotted, expect_none, product

LENDS = COMMON / "db" / "connections.py"
MAKES = COMMON / "db" / "engine.py"
RUNS = COMMON / "run.py"
TAKES = {"connect", "begin", "raw_connection"}
MAKERS = {"create_async_engine", "create_engine", "make_engine"}
DRIVERS = {"psycopg.connect", "psycopg.AsyncConnection.connect", "AsyncConnection.connect"}
STICKS = {"execution_options", "set_read_only", "set_autocommit", "set_isolation_level", "set_deferrable"}
"""What would stay on a connection that a cancelled borrower gives back."""
SESSION_STATE = re.compile(
    r"\bpg_(?:try_)?advisory_lock(?:_shared)?\(|\A\s*(?:LISTEN|SET(?!\s+(?:LOCAL|TRANSACTION|CONSTRAINTS)))\s"
)


def calls() -> list[tuple[str, str, ast.Call]]:
    """Every call of the product: where it stands, whom it calls, and the call; what makes and lends is left out."""
    return [
        (source.at(node), dotted(node.func), node)
        for source in product()
        if source.path not in {LENDS, MAKES}
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
    ]


def test_only_one_module_takes_connections_from_an_engine() -> None:
    expect_none(
        f"{at}: {name}()"
        for at, name, _ in calls()
        if name in DRIVERS or (name.rpartition(".")[2] in TAKES and name.rpartition(".")[0].endswith("engine"))
    )


def test_only_the_process_makes_an_engine() -> None:
    run = str(RUNS.relative_to(COMMON.parents[3]))
    expect_none(f"{at}: {name}()" for at, name, _ in calls() if name in MAKERS and not at.startswith(run))


def test_nothing_is_set_on_a_connection_that_outlives_its_transaction() -> None:
    expect_none(f"{at}: {name}()" for at, name, _ in calls() if name.rpartition(".")[2] in STICKS)


def test_no_statement_changes_the_state_of_its_session() -> None:
    expect_none(
        f"{source.at(node)}: {node.value.strip()[:60]}"
        for source in product()
        if "migrations" not in source.path.parts
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SESSION_STATE.search(node.value)
    )
