"""Stacks for the tests of the whole system.

- `system`: one stack for all tests that keep to an organisation prefix of their own
- `new_system()`: makes a stack of the test's own, ended with the test
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from harness import System

HERE = Path(__file__).parent

MakeSystem = Callable[..., Awaitable[System]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder: each needs the stack's processes."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.stack)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """The stack that tests share; no test ends a process of it or closes a period for all."""
    started = await System.start(tmp_path_factory.mktemp("shared") / "stack")
    yield started
    await started.close()


@pytest_asyncio.fixture(loop_scope="session")
async def new_system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MakeSystem]:
    """Makes stacks that end with the test; takes what System.start takes."""
    made: list[System] = []

    async def make(**options: Any) -> System:
        made.append(await System.start(tmp_path_factory.mktemp("own") / "stack", **options))
        return made[-1]

    yield make
    for one in made:
        await one.close()
