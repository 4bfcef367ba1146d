"""The HTTP listener for the scraper and the probes; it holds nothing that is secret.

/metrics   the process's metrics: OpenMetrics, with exemplars, where the Accept header asks for it, else Prometheus text
/livez     200 while the event loop turns
/readyz    200 when calls are welcome, else 503; below that, a line for each state in which work stands still

A connection serves one request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from aiohttp import web
from aiohttp.http import HttpProcessingError
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder

from apportion_common.metrics import split_address

CONNECTIONS_MAX: Final = 32
"""Connections at once; one that comes beyond takes the place of the oldest, so that nobody keeps a probe out by asking
nothing.
"""
HEADER_LINE_BYTES_MAX: Final = 8_192
"""For the request line, and for each header."""
HEADER_LINES_MAX: Final = 64
REQUEST_TIMEOUT_S: Final = 5
"""From the connection to the end of the request's headers."""
RESPONSE_TIMEOUT_S: Final = 5
"""Until the client has taken the whole response."""
STOP_TIMEOUT_S: Final = 1
"""What responses in progress have left when the listener stops."""


class MetricsServer:
    """Serves a registry's metrics and the two probes until it is stopped."""

    def __init__(
        self,
        listen: str,
        is_ready: Callable[[], bool],
        registry: CollectorRegistry = REGISTRY,
        *,
        details: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """Plan to listen on `listen` (host:port, port 0 for any); `details` are the lines below readiness."""
        self._host, self._port = split_address(listen)
        self._is_ready = is_ready
        self._details = details
        self._registry = registry
        self._http: web.Server | None = None
        self._listener: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        http = web.Server(
            self._serve,
            access_log=None,
            logger=_http_log(),
            # Also the time that a connection has for its first request.
            keepalive_timeout=REQUEST_TIMEOUT_S,
            # The body of a request is of no interest, so nothing waits for its end.
            lingering_time=0,
            max_line_size=HEADER_LINE_BYTES_MAX,
            max_field_size=HEADER_LINE_BYTES_MAX,
            max_headers=HEADER_LINES_MAX,
        )

        def accept() -> asyncio.BaseProtocol:
            transports = (handler.transport for handler in http.connections)
            open_now = [transport for transport in transports if transport is not None and not transport.is_closing()]
            if len(open_now) >= CONNECTIONS_MAX:
                open_now[0].abort()
            return http()

        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(accept, self._host, self._port, backlog=CONNECTIONS_MAX)
        self._http = http
        self._port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no longer, and end the connections."""
        listener, self._listener = self._listener, None
        http, self._http = self._http, None
        if listener is None or http is None:
            return
        listener.close()
        http.pre_shutdown()
        await http.shutdown(STOP_TIMEOUT_S)
        await listener.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send the response here, where its time is limited; the library sends only what is not sent yet."""
        response = self._respond(request)
        response.force_close()
        try:
            async with asyncio.timeout(RESPONSE_TIMEOUT_S):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        return response

    def _respond(self, request: web.BaseRequest) -> web.Response:
        """Return what a request is answered with; a HEAD request gets the same without the body."""
        if request.method not in ("GET", "HEAD"):
            return _text(405, "Only GET and HEAD are served.", {"Allow": "GET, HEAD"})
        if request.path == "/metrics":
            return self._metrics(",".join(request.headers.getall("Accept", [])))
        if request.path == "/livez":
            return _text(200, "live")
        if request.path == "/readyz":
            status, said = (200, "ready") if self._is_ready() else (503, "not ready")
            return _text(status, "\n".join([said, *self._details()]))
        return _text(404, "Only /metrics, /livez and /readyz are served.")

    def _metrics(self, accept: str) -> web.Response:
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):
            # A version that is no number, over which the library trips.
            encode, content_type = choose_encoder("")
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})


def _http_log() -> logging.Logger:
    """Return the logger of the library's server. What clients do wrong is answered with 400 and not worth a line."""
    log = logging.getLogger(__name__)
    log.addFilter(_is_our_fault)
    return log


def _is_our_fault(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def _text(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers=headers)
