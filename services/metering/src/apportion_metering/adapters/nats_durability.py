"""Whether the NATS servers flush before they acknowledge."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from apportion_common.logs import get_logger
from nats.aio.client import Client
from prometheus_client import Gauge

from apportion_metering import errors
from apportion_metering.limits import DURABILITY_CHECK_S, DURABILITY_FRESH_S, MONITOR_BYTES_MAX, MONITOR_TIMEOUT_S

log = get_logger(__name__)

STREAM_DURABLE = Gauge("apportion_metering_stream_durable", "1 when the stream flushes before it acknowledges.")


class DurabilityGuard:
    """Knows whether the NATS servers flush before they acknowledge (`sync_interval: always`).

    It queries the servers' monitoring address at start, again after every reconnect and when its knowledge is older
    than DURABILITY_FRESH_S. What it cannot find out counts as not durable.
    """

    def __init__(self, client: Client, monitor_urls: str | None) -> None:
        """`monitor_urls` is the setting: one or more HTTP addresses separated by commas, or None."""
        self._client = client
        self._urls = [url.strip() for url in (monitor_urls or "").split(",") if url.strip()]
        self._lock = asyncio.Lock()
        self._trouble = "nobody has looked yet"
        self._checked_at: float | None = None
        self._reconnects = 0

    async def require(self) -> None:
        """Raise FailedPrecondition STREAM_NOT_DURABLE unless the servers are known to flush first."""
        if not await self.check():
            raise errors.stream_not_durable(self._trouble)

    async def check(self) -> bool:
        """Return whether the servers are known to flush first; look again only when that is due."""
        if self._due():
            async with self._lock:
                if self._due():
                    await self._look()
        return not self._trouble

    async def watch(self, stop: asyncio.Event) -> None:
        """Keep the knowledge fresh, so that calls seldom wait for a look."""
        while not stop.is_set():
            async with self._lock:
                await self._look()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.wait(), DURABILITY_CHECK_S)

    def _due(self) -> bool:
        if self._checked_at is None or self._client.stats["reconnects"] != self._reconnects:
            return True
        return asyncio.get_running_loop().time() - self._checked_at > DURABILITY_FRESH_S

    async def _look(self) -> None:
        reconnects = self._client.stats["reconnects"]
        trouble = "no monitoring address is set" if not self._urls else ""
        for url in self._urls:
            trouble = trouble or await asyncio.to_thread(_trouble_of, url)
        if trouble != self._trouble:
            log.info("metering.stream.durability", durable=not trouble, trouble=trouble)
        self._trouble = trouble
        self._reconnects = reconnects
        self._checked_at = asyncio.get_running_loop().time()
        STREAM_DURABLE.set(0 if trouble else 1)


def _trouble_of(url: str) -> str:
    """Return why a server cannot be relied on, or an empty text, from its monitoring page of JetStream."""
    try:
        parts = urlsplit(url)
        connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        with contextlib.closing(connect(parts.hostname or "", parts.port, timeout=MONITOR_TIMEOUT_S)) as connection:
            connection.request("GET", "/jsz?config=true")
            answer = connection.getresponse()
            found: Any = json.loads(answer.read(MONITOR_BYTES_MAX))
            durable = answer.status == http.HTTPStatus.OK and found["config"].get("sync_always") is True
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"the server's settings cannot be read ({type(error).__name__})"
    return "" if durable else "this server flushes later"
