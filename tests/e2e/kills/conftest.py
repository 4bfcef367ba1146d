"""A clean stack's books to compare with, and a table of what the kills showed, printed at the end of the run."""

from __future__ import annotations

import shutil

import pytest
import pytest_asyncio
from harness import ENQUEUED, FLIGHTS, System
from kill_world import SERVICE_ENV, Books, Table, books_of, cut, first_rows, is_whole, send_slice, settled, sweep

CLEAN_CALLS = 4

_TABLE = pytest.StashKey[Table]()
STRACE = shutil.which("strace")


def pytest_configure(config: pytest.Config) -> None:
    """An empty table."""
    config.stash[_TABLE] = Table()


def pytest_report_header() -> str:
    """Say how flushing is shown."""
    shown = f"by {STRACE}" if STRACE else "NOT SHOWN, strace is missing: the server's settings alone are checked"
    return f"kills: fsync before acknowledgement {shown}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table."""
    table = config.stash[_TABLE]
    if table.rows:
        terminalreporter.section("what was killed, and what was seen")
        for line in table.lines():
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Table:
    """Where tests write what they saw."""
    return pytestconfig.stash[_TABLE]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def clean(tmp_path_factory: pytest.TempPathFactory) -> Books:
    """The books of a stack that was fed the same events while nothing was killed."""
    system = await System.start(tmp_path_factory.mktemp("clean") / "stack", service_env=SERVICE_ENV)
    try:
        await system.apply(FLIGHTS)
        rows = first_rows()
        for part in cut(rows, CLEAN_CALLS):
            await send_slice(system, part, ENQUEUED)
        await settled(system)
        await sweep(system, "clean")
        await settled(system)
        await is_whole(system, len(rows))
        return await books_of(system)
    finally:
        await system.close()
