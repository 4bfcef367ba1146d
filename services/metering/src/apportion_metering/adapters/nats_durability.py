"""Whether the stream answers, and whether the NATS servers flush before they acknowledge."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
from collections.abc import Iterable
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import nats.errors
from apportion_common.clock import Clock
from apportion_common.instants import US_PER_S
from apportion_common.logs import get_logger
from apportion_common.standstill import STANDSTILLS, STREAM_MISSING, STREAM_REFUSES, state_of
from apportion_common.topology import METERING_IN
from nats.aio.client import Client
from prometheus_client import Gauge

from apportion_metering import errors
from apportion_metering.domain.stream import StreamCondition, StreamState
from apportion_metering.limits import (
    DURABILITY_CHECK_S,
    DURABILITY_FRESH_S,
    MONITOR_BYTES_MAX,
    MONITOR_TIMEOUT_S,
    STREAM_PROBE_TIMEOUT_S,
    STREAM_RECHECK_S,
)

log = get_logger(__name__)

STREAM_DURABLE = Gauge("apportion_metering_stream_durable", "1 when the stream flushes before it acknowledges.")
STREAM_CONDITION_SINCE = Gauge(
    "apportion_metering_stream_condition_since_timestamp_seconds",
    "Unix time since which the stream is in this condition; 0 for those that it is not in.",
    ["condition"],
)

_PAGE: Final = "/jsz?config=true"
_HEALTH_PAGE: Final = "/healthz"
PART: Final = "stream"
"""The stream's name among the parts of the process."""


class Finding(NamedTuple):
    """What the servers' settings say, and why they cannot be relied on."""

    condition: StreamCondition
    why: str = ""


_NEVER_READ: Final = Finding(StreamCondition.UNKNOWN, "the server's settings were not read yet")
_NO_ADDRESS: Final = Finding(StreamCondition.NOT_DURABLE, "no monitoring address is set")
_LOST: Final = Finding(StreamCondition.UNREACHABLE, "the connection to NATS is lost")


class DurabilityGuard:
    """Knows whether the stream answers and its servers flush before they acknowledge (`sync_interval: always`).

    It reads the servers' monitoring addresses at start, again after every reconnect, and when its knowledge is older
    than DURABILITY_FRESH_S. What it cannot find out is not durable, and not a verdict either: it is unavailable now.
    """

    def __init__(self, client: Client, monitor_urls: str | None, clock: Clock) -> None:
        """`monitor_urls` is the setting: one or more HTTP addresses separated by commas, or None."""
        self._client = client
        self._jetstream = client.jetstream()
        self._urls = [url.strip() for url in (monitor_urls or "").split(",") if url.strip()]
        self._clock = clock
        self._lock = asyncio.Lock()
        self._finding = _NEVER_READ
        self._silence = ""
        self._state: StreamState | None = None
        self._checked_at: float | None = None
        self._reconnects = 0

    async def require(self) -> None:
        """Return when the servers are known to flush first.

        Raises FailedPrecondition STREAM_NOT_DURABLE when they are known not to, Unavailable STREAM_UNAVAILABLE while it
        cannot be found out.
        """
        state = await self.check()
        if state.condition is StreamCondition.NOT_DURABLE:
            raise errors.stream_not_durable(state.why)
        if not state.is_durable:
            raise errors.stream_unknown(state.why, state.outage_since)

    async def check(self) -> StreamState:
        """Return what is known; look again only when that is due."""
        if self._due(DURABILITY_FRESH_S):
            async with self._lock:
                if self._due(DURABILITY_FRESH_S):
                    await self._look()
        return self.state()

    async def watch(self, stop: asyncio.Event) -> None:
        """Keep the knowledge fresh, so that calls seldom wait for a look and an outage is dated when it begins."""
        while not stop.is_set():
            if self._due(DURABILITY_CHECK_S):
                async with self._lock:
                    await self._look()
            self.state()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.wait(), STREAM_RECHECK_S)

    def state(self) -> StreamState:
        """Return what is known now, without a look."""
        if not self._client.is_connected:
            condition, why = _LOST
        elif self._silence:
            condition, why = StreamCondition.UNREACHABLE, self._silence
        else:
            condition, why = self._finding
        before = self._state
        if before is None or before.condition is not condition:
            self._state = StreamState(condition, self._clock.now_us(), why)
            _tell(self._state)
        elif before.why != why:
            self._state = StreamState(condition, before.since_us, why)
        else:
            return before
        return self._state

    def note_answer(self) -> None:
        """Note that the stream has answered."""
        self._silence = ""
        self.state()

    def note_silence(self, error: BaseException) -> None:
        """Note that the stream has not answered; it counts as unreachable until it does."""
        missing = state_of(error)[0] == STREAM_MISSING
        self._silence = (
            f"the stream {METERING_IN.name} is not there"
            if missing
            else f"the stream does not answer ({type(error).__name__})"
        )
        self.state()

    def _due(self, fresh_s: float) -> bool:
        """Return whether to look again; without a connection there is nothing to look at."""
        if not self._client.is_connected:
            return False
        if self._checked_at is None or self._client.stats["reconnects"] != self._reconnects:
            return True
        is_settled = not self._silence and self._finding.condition is not StreamCondition.UNKNOWN
        age_s = asyncio.get_running_loop().time() - self._checked_at
        return age_s >= (fresh_s if is_settled else STREAM_RECHECK_S)

    async def _look(self) -> None:
        reconnects = self._client.stats["reconnects"]
        found, ailment, failure = await asyncio.gather(_read_all(self._urls), _ailment(self._urls), self._probe())
        if failure is not None:
            self.note_silence(failure)
            state, detail = state_of(failure, stream=METERING_IN.name)
            # A connection that is lost says so itself.
            STANDSTILLS.set(PART, {state: detail} if state == STREAM_MISSING else {})
        elif ailment:
            # It answers, and what is published to it waits for an acknowledgement that does not come.
            self._silence = f"NATS takes nothing: {ailment}"
            STANDSTILLS.set(PART, {STREAM_REFUSES: self._silence})
        else:
            self._silence = ""
            STANDSTILLS.set(PART, {})
        self._finding, self._reconnects = found, reconnects
        self._checked_at = asyncio.get_running_loop().time()
        self.state()

    async def _probe(self) -> Exception | None:
        """Ask the stream for anything; return why it does not answer, None when it does."""
        try:
            async with asyncio.timeout(STREAM_PROBE_TIMEOUT_S):
                await self._jetstream.stream_info(METERING_IN.name)
        except (TimeoutError, nats.errors.Error, OSError) as error:
            return error
        return None


def _tell(state: StreamState) -> None:
    """Log the new condition and show it in the metrics."""
    log.info("metering.stream.condition", condition=state.condition.value, why=state.why, durable=state.is_durable)
    STREAM_DURABLE.set(1 if state.is_durable else 0)
    for condition in StreamCondition:
        is_this = condition is state.condition
        STREAM_CONDITION_SINCE.labels(condition.value).set(state.since_us / US_PER_S if is_this else 0)


async def _ailment(urls: Iterable[str]) -> str:
    """Return what one of the servers says that ails it; an empty text when none does, or does not answer."""
    said = await asyncio.gather(*map(_health, urls))
    return next((ailment for ailment in said if ailment), "")


async def _health(url: str) -> str:
    """Return what a server says that ails it, such as a disk that is full, or was until somebody restarts it."""
    try:
        connection = await asyncio.to_thread(_connection, url)
    except (ValueError, http.client.InvalidURL):
        return ""
    try:
        async with asyncio.timeout(MONITOR_TIMEOUT_S):
            status, body = await asyncio.to_thread(_get, connection, _HEALTH_PAGE)
        page = json.loads(body) if status == http.HTTPStatus.SERVICE_UNAVAILABLE else None
        return str(page.get("error", "")) if isinstance(page, dict) else ""
    except (OSError, TimeoutError, http.client.HTTPException, ValueError, RecursionError):
        return ""
    finally:
        _end(connection)


async def _read_all(urls: Iterable[str]) -> Finding:
    """Return what all servers' settings say together: one that flushes later decides, then one that cannot be read."""
    findings = await asyncio.gather(*map(_read, urls))
    for condition in (StreamCondition.NOT_DURABLE, StreamCondition.UNKNOWN):
        for finding in findings:
            if finding.condition is condition:
                return finding
    return findings[0] if findings else _NO_ADDRESS


async def _read(url: str) -> Finding:
    """Return what a server's monitoring page of JetStream says of its settings."""
    try:
        connection = await asyncio.to_thread(_connection, url)
    except (ValueError, http.client.InvalidURL):
        return Finding(StreamCondition.NOT_DURABLE, "the monitoring address is no HTTP address")
    try:
        async with asyncio.timeout(MONITOR_TIMEOUT_S):
            status, body = await asyncio.to_thread(_get, connection, _PAGE)
        if status != http.HTTPStatus.OK:
            return Finding(StreamCondition.UNKNOWN, f"the server's settings cannot be read (HTTP status {status})")
        return _finding_of(json.loads(body))
    except (OSError, TimeoutError, http.client.HTTPException, ValueError, RecursionError) as error:
        return Finding(StreamCondition.UNKNOWN, f"the server's settings cannot be read ({type(error).__name__})")
    finally:
        _end(connection)


def _connection(url: str) -> http.client.HTTPConnection:
    """Return a connection that is not open yet; reads the authorities' files for HTTPS.

    Raises ValueError and http.client.InvalidURL for what is no HTTP address.
    """
    address = urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ValueError
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    return kind(address.hostname, address.port, timeout=MONITOR_TIMEOUT_S)


def _get(connection: http.client.HTTPConnection, page: str) -> tuple[int, bytes]:
    """Return status and body of a page; runs beside the loop, which ends the connection when the time is over."""
    connection.request("GET", page)
    answer = connection.getresponse()
    return answer.status, answer.read(MONITOR_BYTES_MAX)


def _end(connection: http.client.HTTPConnection) -> None:
    """Close a connection; a thread that still reads from it, byte by byte perhaps, gets the end of the stream."""
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()


def _finding_of(page: Any) -> Finding:
    """Return what a page says. Raises ValueError when it is not NATS's page of JetStream."""
    config = page.get("config") if isinstance(page, dict) else None
    if not isinstance(config, dict) or not isinstance(page.get("server_id"), str):
        raise ValueError("This is no page of JetStream.")
    # The server leaves the field out when it is false.
    match config.get("sync_always", False):
        case True:
            return Finding(StreamCondition.DURABLE)
        case False:
            return Finding(StreamCondition.NOT_DURABLE, "this server flushes later")
    raise ValueError("This is no page of JetStream.")
