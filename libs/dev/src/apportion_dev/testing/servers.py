"""Where the tests' PostgreSQL and NATS come from: given URLs, containers, or the packaged servers; never a mock.

A provider is chosen without starting anything, so that the test header can name it; the server starts at its first use.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Final, Protocol

from apportion_common.bus.rights import OWN_API_PREFIX
from apportion_common.clock import SystemClock
from pydantic import SecretStr

from apportion_dev.local.keys import LocalCa
from apportion_dev.local.nats import LocalNats, NatsError, find_nats_server
from apportion_dev.local.ports import LOOPBACK
from apportion_dev.local.postgres import LocalPostgres
from apportion_dev.local.postgres_binaries import BINARY_FOLDER_SETTING, PostgresBinaries, find_postgres

POSTGRES_URL_SETTING: Final = "APPORTION_TEST_POSTGRES_ADMIN_URL"
NATS_URL_SETTING: Final = "APPORTION_TEST_NATS_URL"
POSTGRES_IMAGE_SETTING: Final = "APPORTION_TEST_POSTGRES_IMAGE"
NATS_IMAGE_SETTING: Final = "APPORTION_TEST_NATS_IMAGE"
POSTGRES_IMAGE: Final = "postgres:18-alpine"
NATS_IMAGE: Final = "nats:2.12-alpine"
NATS_USER: Final = "test"
DOCKER_TIMEOUT_S: Final = 3
# What a test database loses in a power cut is of no interest; what it loses in a kill is the same either way.
# Autovacuum's own transactions would move the numbers by which tests prove that nothing was written.
POSTGRES_TEST_SETTINGS: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "512MB",
    "autovacuum": "off",
}


class ServersUnavailable(RuntimeError):
    """No provider of a server works here; the message says what would."""


@dataclass(frozen=True, slots=True)
class NatsAccess:
    """How to reach a NATS server; what `apportion_common.bus.connection.connect` takes as settings."""

    nats_url: str
    nats_user: str | None = None
    nats_password: SecretStr | None = None
    tls_ca_file: Path | None = None
    nats_api_prefix: str = OWN_API_PREFIX


class PostgresProvider(Protocol):
    """A PostgreSQL server for the tests."""

    description: str
    outlives_tests: bool
    """Whether what the tests leave in it stays; the others are deleted with everything in them."""

    def start(self) -> str:
        """Start the server if need be and return the superuser's URL."""
        ...

    def stop(self) -> None:
        """Stop what was started, and delete it."""
        ...


class NatsProvider(Protocol):
    """A NATS server with JetStream for the tests."""

    description: str

    def start(self) -> NatsAccess:
        """Start the server if need be and say how to reach it."""
        ...

    def stop(self) -> None:
        """Stop what was started, and delete it."""
        ...


class GivenPostgres:
    """A server named by a URL; its superuser makes and drops databases of our own."""

    outlives_tests = True

    def __init__(self, url: str) -> None:
        self.description = f"given by {POSTGRES_URL_SETTING}"
        self._url = url

    def start(self) -> str:
        """Return the URL as given."""
        return self._url

    def stop(self) -> None:
        """Leave the server as it is."""


class GivenNats:
    """A server named by a URL. Streams have fixed names: test processes on one machine take turns."""

    def __init__(self, url: str) -> None:
        self.description = f"given by {NATS_URL_SETTING}"
        self._url = url
        self._lock: IO[bytes] | None = None

    def start(self) -> NatsAccess:
        """Wait for the other test processes of this machine, then return the URL."""
        name = hashlib.sha256(self._url.encode()).hexdigest()[:16]
        self._lock = (Path(tempfile.gettempdir()) / f"apportion-test-nats-{name}.lock").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return NatsAccess(self._url)

    def stop(self) -> None:
        """Let the next test process in."""
        if self._lock is not None:
            self._lock.close()


class ContainerPostgres:
    """A server in a container of this test process."""

    outlives_tests = False

    def __init__(self, image: str) -> None:
        self.description = f"container {image}"
        self._image = image
        self._container: Any = None

    def start(self) -> str:
        """Start the container and return the superuser's URL."""
        from testcontainers.community.postgres import PostgresContainer

        self._container = PostgresContainer(self._image, driver=None)
        self._container.start()
        url: str = self._container.get_connection_url()
        return url

    def stop(self) -> None:
        """Remove the container."""
        if self._container is not None:
            self._container.stop()


class ContainerNats:
    """A server in a container of this test process."""

    def __init__(self, image: str) -> None:
        self.description = f"container {image}"
        self._image = image
        self._container: Any = None

    def start(self) -> NatsAccess:
        """Start the container and return its URL."""
        from testcontainers.community.nats import NatsContainer

        self._container = NatsContainer(self._image, jetstream=True)
        self._container.start()
        return NatsAccess(self._container.nats_uri())

    def stop(self) -> None:
        """Remove the container."""
        if self._container is not None:
            self._container.stop()


class PackagedPostgres:
    """The packaged server (or the one that a setting names), in a folder of this test process."""

    outlives_tests = False

    def __init__(self, folder: Callable[[], Path], binaries: PostgresBinaries) -> None:
        self.description = f"{binaries.version} from {binaries.source}"
        self._folder = folder
        self._binaries = binaries
        self._server: LocalPostgres | None = None

    def start(self) -> str:
        """Start the server and return the superuser's URL."""
        self._server = LocalPostgres(self._folder(), binaries=self._binaries, settings=POSTGRES_TEST_SETTINGS)
        self._server.start()
        return self._server.admin_url

    def stop(self) -> None:
        """Stop the server and delete its data."""
        if self._server is not None:
            self._server.destroy()


class PackagedNats:
    """The packaged server, with TLS and a password, in a folder of this test process."""

    def __init__(self, folder: Callable[[], Path]) -> None:
        self.description = "packaged server"
        self._folder = folder
        self._server: LocalNats | None = None

    def start(self) -> NatsAccess:
        """Start the server and say how to reach it."""
        self._server, access = start_local_nats(self._folder())
        return access

    def stop(self) -> None:
        """Stop the server and delete its store."""
        if self._server is not None:
            self._server.destroy()


def start_local_nats(folder: Path) -> tuple[LocalNats, NatsAccess]:
    """Start a packaged server with keys of its own in `folder`; for tests that kill or restart it, too."""
    authority = LocalCa.create_or_load(folder / "ca", SystemClock().now())
    certificate = authority.issue_server_certificate([LOOPBACK, "localhost"], SystemClock().now(), "nats")
    password = secrets.token_urlsafe(16)
    server = LocalNats(folder / "nats", users={NATS_USER: password}, certificate=certificate, sync_always=False)
    server.start()
    return server, NatsAccess(server.url, NATS_USER, SecretStr(password), authority.certificate_file)


@cache
def docker_answers() -> bool:
    """Return whether a Docker daemon answers a ping."""
    try:
        docker: Any = importlib.import_module("docker")
        client = docker.from_env(timeout=DOCKER_TIMEOUT_S)
    except Exception:
        return False
    try:
        return bool(client.ping())
    except Exception:
        return False
    finally:
        client.close()


def choose_postgres(folder: Callable[[], Path], environ: Mapping[str, str] = os.environ) -> PostgresProvider:
    """Return the first provider that works here; ServersUnavailable when none does.

    Programs that APPORTION_POSTGRES_BIN names come before a container: whoever names them wants their version.
    """
    given = environ.get(POSTGRES_URL_SETTING)
    if given:
        return GivenPostgres(given)
    if not environ.get(BINARY_FOLDER_SETTING) and docker_answers():
        os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
        return ContainerPostgres(environ.get(POSTGRES_IMAGE_SETTING) or POSTGRES_IMAGE)
    try:
        binaries = find_postgres(environ)
    except RuntimeError as error:
        raise ServersUnavailable(f"No PostgreSQL for the tests: set {POSTGRES_URL_SETTING}. {error}") from error
    return PackagedPostgres(folder, binaries)


def choose_nats(folder: Callable[[], Path], environ: Mapping[str, str] = os.environ) -> NatsProvider:
    """Return the first provider that works here; ServersUnavailable when none does."""
    given = environ.get(NATS_URL_SETTING)
    if given:
        return GivenNats(given)
    if docker_answers():
        os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
        return ContainerNats(environ.get(NATS_IMAGE_SETTING) or NATS_IMAGE)
    try:
        find_nats_server()
    except NatsError as error:
        raise ServersUnavailable(f"No NATS for the tests: set {NATS_URL_SETTING}. {error}") from error
    return PackagedNats(folder)
