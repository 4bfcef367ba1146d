"""A statement that may take longer is given its time in one way, by which both sides of the connection know of it."""

from __future__ import annotations

from house import ROOT


def test_only_the_engine_sets_how_long_a_statement_may_take() -> None:
    # The server's limit alone would not do: a connection that says nothing for longer is closed on this side.
    sources = [file for part in ("libs/common", "services") for file in (ROOT / part).rglob("src/**/*.py")]
    found = {
        str(file.relative_to(ROOT))
        for file in sources
        if "migrations" not in file.parts and "statement_timeout" in file.read_text(encoding="utf-8")
    }
    assert found == {
        "libs/common/src/apportion_common/db/engine.py",
        # A comment: why a pipeline would not do.
        "libs/common/src/apportion_common/lanes/store.py",
    }
