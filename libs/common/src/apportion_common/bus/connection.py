"""The connection to NATS: TLS, one user per service, reconnecting forever."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from nats.aio.client import Client
from nats.js import JetStreamContext
from pydantic import SecretStr

from apportion_common.bus.rights import OWN_API_PREFIX, inbox_prefix
from apportion_common.standstill import STANDSTILLS, STREAM_AWAY

CONNECT_TIMEOUT_S: Final = 5
RECONNECT_WAIT_S: Final = 1
PING_INTERVAL_S: Final = 10
OUTSTANDING_PINGS_MAX: Final = 2
"""A silent server is given up after this many unanswered pings."""
DRAIN_TIMEOUT_S: Final = 10
FOR_EVER: Final = -1
PART: Final = "nats"
"""The connection's name among the parts of a process."""

_log = logging.getLogger(__name__)


class NatsSettings(Protocol):
    """What a connection needs of a service's settings."""

    @property
    def nats_url(self) -> str: ...
    @property
    def nats_user(self) -> str | None: ...
    @property
    def nats_password(self) -> SecretStr | None: ...
    @property
    def nats_api_prefix(self) -> str: ...
    @property
    def tls_ca_file(self) -> Path | None: ...


class BusClient(Client):
    """A client whose account may have the streams' API elsewhere than under `$JS.API`."""

    def __init__(self, api_prefix: str) -> None:
        """Plan to use the API below `api_prefix`."""
        super().__init__()
        self.api_prefix = api_prefix

    def jetstream(self, **options: Any) -> JetStreamContext:
        """Return a context on the streams' API."""
        return super().jetstream(**{"prefix": self.api_prefix, **options})


def api_subject(client: Client, operation: str) -> str:
    """Return the subject of an operation of the streams' API, such as `CONSUMER.MSG.NEXT.EVENTS.mine`."""
    prefix = client.api_prefix if isinstance(client, BusClient) else OWN_API_PREFIX
    return f"{prefix}.{operation}"


def _tls(settings: NatsSettings) -> ssl.SSLContext | None:
    """Return a context for a `tls://` URL that verifies by the settings' authority, or by the system's."""
    if not settings.nats_url.startswith("tls://"):
        return None
    authority = settings.tls_ca_file
    return ssl.create_default_context(cafile=None if authority is None else str(authority))


async def connect(settings: NatsSettings, name: str, *, on_closed: Callable[[], None] | None = None) -> Client:
    """Connect as the settings' user under a name that monitoring shows; waits for a server that is not there yet.

    A lost server is reconnected to forever, every RECONNECT_WAIT_S. What is published meanwhile the client keeps, up to
    2 MiB, and sends when it is back, also when whoever published it was told that it had failed: so publish only what
    may arrive twice, or nothing while `is_connected` is false. The client still closes for good when the server refuses
    the user or cuts it off for an oversized message: then `on_closed` is called, and the process had better end.
    """
    client = BusClient(settings.nats_api_prefix)

    async def log_error(error: Exception) -> None:
        words = f"{type(error).__name__}: {error}"
        if client.is_connected:
            _log.warning("NATS error on connection %s: %s", name, words)
        else:
            # Every attempt to reconnect comes by here: said once, and again when it is over.
            STANDSTILLS.set(PART, {STREAM_AWAY: f"NATS does not answer: {words}"})

    async def log_disconnected() -> None:
        if not client.is_closed:
            STANDSTILLS.set(PART, {STREAM_AWAY: "the connection to NATS is lost"})

    async def log_reconnected() -> None:
        STANDSTILLS.set(PART, {})

    async def closed() -> None:
        _log.info("Connection %s to NATS is closed.", name)
        STANDSTILLS.set(PART, {})
        if on_closed is not None:
            on_closed()

    password = settings.nats_password
    await client.connect(
        servers=[server.strip() for server in settings.nats_url.split(",")],
        name=name,
        user=settings.nats_user or None,
        inbox_prefix=inbox_prefix(settings.nats_user) if settings.nats_user else "_INBOX",
        password=None if password is None else password.get_secret_value(),
        tls=_tls(settings),
        connect_timeout=CONNECT_TIMEOUT_S,
        reconnect_time_wait=RECONNECT_WAIT_S,
        max_reconnect_attempts=FOR_EVER,
        ping_interval=PING_INTERVAL_S,
        max_outstanding_pings=OUTSTANDING_PINGS_MAX,
        drain_timeout=DRAIN_TIMEOUT_S,
        error_cb=log_error,
        disconnected_cb=log_disconnected,
        reconnected_cb=log_reconnected,
        closed_cb=closed,
    )
    STANDSTILLS.set(PART, {})
    return client
