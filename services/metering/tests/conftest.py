"""Metering on real servers: a migrated database and a NATS server that flushes before it acknowledges."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio
from apportion_dev.local.nats import LocalNats
from apportion_dev.testing import observed
from apportion_dev.testing.databases import ServiceDatabase
from apportion_dev.testing.servers import NatsAccess
from apportion_metering.store.dead_letters import EventRejection, NewDeadLetter
from metering_harness import LaneHarness, MeteringHarness, metering_on, start_nats

# Tests of the writer look at the rows that it stores, not at an RPC's list of them.
observed.watch(NewDeadLetter, lambda letter: [letter.reason])
observed.watch(EventRejection, lambda rejection: [rejection.reason])


@pytest_asyncio.fixture
async def bench(service_database: Callable[[str], ServiceDatabase]) -> LaneHarness:
    """A writer on a fresh database."""
    return LaneHarness(service_database("metering").database())


@pytest.fixture(scope="session")
def durable_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalNats, NatsAccess]]:
    """A NATS server that flushes before it acknowledges, and how to reach it."""
    yield from start_nats(tmp_path_factory.mktemp("durable-nats"), sync_always=True)


@pytest.fixture(scope="session")
def lazy_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalNats, NatsAccess]]:
    """A NATS server with its own default: it flushes later."""
    yield from start_nats(tmp_path_factory.mktemp("lazy-nats"), sync_always=False)


@pytest_asyncio.fixture
async def metering(
    service_database: Callable[[str], ServiceDatabase], durable_nats: tuple[LocalNats, NatsAccess]
) -> AsyncIterator[MeteringHarness]:
    """The service on a durable NATS server."""
    async with metering_on(service_database("metering"), durable_nats) as made:
        yield made
