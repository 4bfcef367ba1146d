"""The pytest plugin: real PostgreSQL and NATS for every test, one event loop, databases to throw away.

Its settings in pyproject.toml: `asyncio_mode = "auto"` and the loop scopes "session".

- `service_database("ledger")`: a fresh database with everything that the service's migrations make
- `base_database()`: one with the shared tables, the lanes' tables and the configuration head
- `blank_database()`: one with nothing in it
- `nats_access`, `nats_connection`: the NATS server and a connection to it
- `clean_streams`, `streams`: no stream of ours at the test's start; every stream of ours, empty
- `killable_nats`: a NATS server of the test's own, to kill and restart

What a test passes to `record_property("figures", ...)` is a line at the end of the run, whichever process ran it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from apportion_common.bus.connection import connect
from apportion_common.bus.streams import ensure_streams
from apportion_common.topology import MEBIBYTE, STREAMS
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from apportion_dev.local.nats import LocalNats
from apportion_dev.testing.databases import DatabaseFactory, ServiceDatabase
from apportion_dev.testing.servers import (
    NatsAccess,
    NatsProvider,
    PostgresProvider,
    ServersUnavailable,
    choose_nats,
    choose_postgres,
    start_local_nats,
)
from apportion_dev.testing.versions import describe_oldest

FIGURES: Final = "figures"
TEST_STREAM_MAX_BYTES: Final = 128 * MEBIBYTE

BlankDatabase = Callable[..., ServiceDatabase]
"""What `blank_database` and `base_database` are: called with a service's name, or none."""
MakeServiceDatabase = Callable[[str], ServiceDatabase]
"""What `service_database` is."""


class Servers:
    """The chosen providers; servers start at their first use and stop with the session."""

    def __init__(self, folder: Callable[[str], Path]) -> None:
        self.postgres: PostgresProvider | ServersUnavailable
        self.nats: NatsProvider | ServersUnavailable
        try:
            self.postgres = choose_postgres(lambda: folder("postgres"))
        except ServersUnavailable as error:
            self.postgres = error
        try:
            self.nats = choose_nats(lambda: folder("nats"))
        except ServersUnavailable as error:
            self.nats = error

    def header(self) -> str:
        """Return the line of the test header."""
        names = [("PostgreSQL", self.postgres), ("NATS", self.nats)]
        parts = [
            f"{name}: {'none' if isinstance(provider, ServersUnavailable) else provider.description}"
            for name, provider in names
        ]
        return f"servers: {', '.join(parts)}"

    def databases(self) -> Iterator[DatabaseFactory]:
        """Start PostgreSQL and make databases on it until the session ends."""
        if isinstance(self.postgres, ServersUnavailable):
            pytest.fail(str(self.postgres), pytrace=False)
        try:
            factory = DatabaseFactory(self.postgres.start())
            try:
                yield factory
            finally:
                if self.postgres.outlives_tests:
                    factory.close()
        finally:
            self.postgres.stop()

    def access(self) -> Iterator[NatsAccess]:
        """Start NATS and say how to reach it until the session ends."""
        if isinstance(self.nats, ServersUnavailable):
            pytest.fail(str(self.nats), pytrace=False)
        try:
            yield self.nats.start()
        finally:
            self.nats.stop()


_SERVERS: Final = pytest.StashKey[Servers]()
_FOLDER: Final = pytest.StashKey[Callable[[str], Path]]()


def pytest_configure(config: pytest.Config) -> None:
    """Choose the providers."""

    def folder(name: str) -> Path:
        return config.stash[_FOLDER](name)

    config.stash[_SERVERS] = Servers(folder)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which servers the tests run against, and whether the oldest PostgreSQL is there for those that need it."""
    return [config.stash[_SERVERS].header(), describe_oldest()]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests counted and measured."""
    lines = [
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == FIGURES
    ]
    if lines:
        terminalreporter.section("what was counted and measured")
        for line in sorted(lines):
            terminalreporter.line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs servers by the fixtures that it takes, so that the fast tests can be chosen without it."""
    for item in items:
        if {"servers", "killable_nats"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.servers)


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Servers:
    """Return the chosen providers, with a folder of this session to put servers into."""
    pytestconfig.stash[_FOLDER] = tmp_path_factory.mktemp
    return pytestconfig.stash[_SERVERS]


@pytest.fixture(scope="session")
def database_factory(servers: Servers) -> Iterator[DatabaseFactory]:
    """Make databases; for fixtures that outlive a test. What it makes is dropped with the session."""
    yield from servers.databases()


async def _thrown_away(
    factory: DatabaseFactory, make: Callable[..., ServiceDatabase]
) -> AsyncIterator[Callable[..., ServiceDatabase]]:
    """Provide a function that makes databases, and drop those after the test."""
    made: list[ServiceDatabase] = []

    def keep(*arguments: str) -> ServiceDatabase:
        made.append(make(*arguments))
        return made[-1]

    yield keep
    for database in made:
        await database.close()
        factory.drop(database.name)


@pytest_asyncio.fixture(loop_scope="session")
async def blank_database(database_factory: DatabaseFactory) -> AsyncIterator[BlankDatabase]:
    """Make databases with nothing in them."""
    async for make in _thrown_away(database_factory, database_factory.blank):
        yield make


@pytest_asyncio.fixture(loop_scope="session")
async def base_database(database_factory: DatabaseFactory) -> AsyncIterator[BlankDatabase]:
    """Make databases with the tables that the services share."""
    async for make in _thrown_away(database_factory, database_factory.base):
        yield make


@pytest_asyncio.fixture(loop_scope="session")
async def service_database(database_factory: DatabaseFactory) -> AsyncIterator[MakeServiceDatabase]:
    """Make migrated databases of a service."""
    async for make in _thrown_away(database_factory, database_factory.service):
        yield make


@pytest.fixture(scope="session")
def nats_access(servers: Servers) -> Iterator[NatsAccess]:
    """Yield how to reach the session's NATS server."""
    yield from servers.access()


@pytest_asyncio.fixture(loop_scope="session")
async def nats_connection(nats_access: NatsAccess) -> AsyncIterator[Client]:
    """Yield a connection of the test's own."""
    client = await connect(nats_access, "test")
    yield client
    await client.close()


@pytest_asyncio.fixture(loop_scope="session")
async def clean_streams(nats_connection: Client) -> AsyncIterator[None]:
    """Delete the product's streams, with their consumers and messages, before the test and after it.

    After it too: a test may leave one that no service could work with.
    """
    await _delete_streams(nats_connection)
    yield
    await _delete_streams(nats_connection)


async def _delete_streams(client: Client) -> None:
    js = client.jetstream()
    for spec in STREAMS:
        with contextlib.suppress(NotFoundError):
            await js.delete_stream(spec.name)


@pytest_asyncio.fixture(loop_scope="session")
async def streams(nats_connection: Client, clean_streams: None) -> None:
    """Make every stream of the product, empty and small, before the test."""
    await ensure_streams(nats_connection.jetstream(), max_bytes=TEST_STREAM_MAX_BYTES)


@pytest.fixture
def killable_nats(tmp_path: Path) -> Iterator[tuple[LocalNats, NatsAccess]]:
    """Yield a packaged NATS server of the test's own, and how to reach it."""
    server, access = start_local_nats(tmp_path)
    yield server, access
    server.destroy()
