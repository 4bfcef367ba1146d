"""Metrics: registered once per process and name, and served over HTTP beside the two probes.

/metrics   Prometheus text
/livez     200 while the event loop turns
/readyz    200 when calls are welcome, else 503
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self, TypeVar

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

READ_TIMEOUT_S: Final = 5
MAX_REQUEST_BYTES: Final = 8_192
MAX_SCRAPES: Final = 32
"""Connections that are served at once; what comes beyond is closed."""
RPC_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_Metric = TypeVar("_Metric", Counter, Gauge, Histogram)
_made: dict[str, Counter | Gauge | Histogram] = {}


def counter(name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
    """The process's counter of that name; made at the first call. Raises ValueError when it is another kind."""
    return _made_once(name, Counter, lambda: Counter(name, documentation, labels))


def gauge(name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
    """The process's gauge of that name; made at the first call. Raises ValueError when it is another kind."""
    return _made_once(name, Gauge, lambda: Gauge(name, documentation, labels))


def histogram(
    name: str, documentation: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = RPC_BUCKETS_S
) -> Histogram:
    """The process's histogram of that name; made at the first call. Raises ValueError when it is another kind."""
    return _made_once(name, Histogram, lambda: Histogram(name, documentation, labels, buckets=buckets))


def _made_once(name: str, kind: type[_Metric], make: Callable[[], _Metric]) -> _Metric:
    known = _made.setdefault(name, make()) if name not in _made else _made[name]
    if not isinstance(known, kind):
        raise ValueError(f"The metric {name} is a {type(known).__name__}, not a {kind.__name__}.")
    return known


class MetricsServer:
    """A small HTTP server for the scraper and the probes; it speaks plain text and holds nothing that is secret."""

    def __init__(self, listen: str, is_ready: Callable[[], bool], registry: CollectorRegistry = REGISTRY) -> None:
        """Plan to listen on `listen` (host:port, port 0 for any)."""
        self._host, self._port = split_address(listen)
        self._is_ready = is_ready
        self._registry = registry
        self._server: asyncio.Server | None = None
        self._open = 0

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=MAX_REQUEST_BYTES)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no longer."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= MAX_SCRAPES:
                async with asyncio.timeout(READ_TIMEOUT_S):
                    request = (await reader.readline()).decode("latin-1").split(" ")
                    while (await reader.readline()).strip():
                        pass
                    writer.write(self._answer(request))
                    await writer.drain()
        except (TimeoutError, OSError, ValueError):
            pass  # A scraper that stalls, breaks off or sends too long a line gets no answer.
        finally:
            self._open -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _answer(self, request: Sequence[str]) -> bytes:
        method, path = (request[0], request[1].split("?")[0]) if len(request) == 3 else ("", "")
        if method not in ("GET", "HEAD"):
            return _response("405 Method Not Allowed", b"Only GET and HEAD are served.\n", method)
        if path == "/metrics":
            return _response("200 OK", generate_latest(self._registry), method, CONTENT_TYPE_LATEST)
        if path == "/livez":
            return _response("200 OK", b"live\n", method)
        if path == "/readyz":
            if self._is_ready():
                return _response("200 OK", b"ready\n", method)
            return _response("503 Service Unavailable", b"not ready\n", method)
        return _response("404 Not Found", b"Only /metrics, /livez and /readyz are served.\n", method)


def _response(status: str, body: bytes, method: str, content_type: str = "text/plain; charset=utf-8") -> bytes:
    head = (
        f"HTTP/1.1 {status}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join((*head, "", "")).encode("latin-1") + (b"" if method == "HEAD" else body)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`. Raises ValueError for anything else."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"The address {address!r} does not read host:port.")
    return host, int(port)
