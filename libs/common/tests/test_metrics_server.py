"""The HTTP listener of metrics and probes: its responses, its two formats, and clients that are slow, many or wrong."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable

import pytest
from apportion_common import metrics_server
from apportion_common.metrics import counter, histogram
from apportion_common.metrics_server import CONNECTIONS_MAX, MetricsServer
from apportion_common.telemetry.tracing import context_from_traceparent, exemplar_of
from opentelemetry import trace
from prometheus_client import CollectorRegistry, Gauge

OPENMETRICS = "application/openmetrics-text"
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
"""What Prometheus sends."""


async def ask(port: int, request: bytes) -> tuple[str, str, str]:
    """Status line, headers and body of the answer to a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    status, _, headers = head.partition("\r\n")
    return status, headers, body


def request(path: str, *, method: str = "GET", accept: str | None = None) -> bytes:
    accepted = "" if accept is None else f"Accept: {accept}\r\n"
    return f"{method} {path} HTTP/1.1\r\nHost: a\r\n{accepted}\r\n".encode()


def serving(is_ready: Callable[[], bool] = lambda: True, registry: CollectorRegistry | None = None) -> MetricsServer:
    if registry is None:
        return MetricsServer("127.0.0.1:0", is_ready)
    return MetricsServer("127.0.0.1:0", is_ready, registry)


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server ends the connection."""
    async with asyncio.timeout(30):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def test_metrics_and_probes_are_served_over_http() -> None:
    ready = False
    counter("toy_things_total", "Things.", ["kind"]).labels("round").inc(3)
    async with serving(lambda: ready) as server:
        status, _, body = await ask(server.port, request("/livez"))
        assert (status, body) == ("HTTP/1.1 200 OK", "live\n")
        assert (await ask(server.port, request("/readyz")))[0] == "HTTP/1.1 503 Service Unavailable"
        ready = True
        assert (await ask(server.port, request("/readyz?verbose")))[0] == "HTTP/1.1 200 OK"
        status, headers, body = await ask(server.port, request("/metrics"))
        assert status == "HTTP/1.1 200 OK"
        assert "Content-Type: text/plain; version=0.0.4; charset=utf-8" in headers
        assert "Connection: close" in headers
        assert 'toy_things_total{kind="round"} 3.0' in body
        status, _, body = await ask(server.port, request("/secrets"))
        assert (status, body) == ("HTTP/1.1 404 Not Found", "Only /metrics, /livez and /readyz are served.\n")
        for path in ("/metrics", "/secrets"):
            status, headers, body = await ask(server.port, request(path, method="POST"))
            assert (status, body) == ("HTTP/1.1 405 Method Not Allowed", "Only GET and HEAD are served.\n")
            assert "Allow: GET, HEAD" in headers


@pytest.mark.parametrize(("path", "status"), [("/metrics", 200), ("/livez", 200), ("/readyz", 503), ("/secrets", 404)])
async def test_a_head_request_gets_the_headers_of_a_get_and_no_body(path: str, status: int) -> None:
    registry = CollectorRegistry()
    Gauge("toy_level", "Level.", registry=registry).set(7)
    async with serving(lambda: False, registry) as server:
        got = await ask(server.port, request(path))
        head = await ask(server.port, request(path, method="HEAD"))
    assert got[0].split()[1] == head[0].split()[1] == str(status)
    assert f"Content-Length: {len(got[2])}" in head[1]
    assert got[2]
    assert head[2] == ""


@pytest.mark.parametrize("accept", [OPENMETRICS, PROMETHEUS, f"{OPENMETRICS}; version=1.0.0"])
async def test_openmetrics_comes_where_it_is_asked_for(accept: str) -> None:
    counter("toy_asked_total", "Asked.").inc()
    async with serving() as server:
        status, headers, body = await ask(server.port, request("/metrics", accept=accept))
    assert status == "HTTP/1.1 200 OK"
    assert f"Content-Type: {OPENMETRICS}; version=1.0.0; charset=utf-8" in headers
    assert "# TYPE toy_asked counter" in body
    assert body.endswith("# EOF\n")


@pytest.mark.parametrize("accept", ["", "*/*", "text/html", "text/plain", f"{OPENMETRICS}; version=old"])
async def test_whoever_asks_for_anything_else_gets_prometheus_text(accept: str) -> None:
    async with serving() as server:
        status, headers, body = await ask(server.port, request("/metrics", accept=accept))
    assert status == "HTTP/1.1 200 OK"
    assert "Content-Type: text/plain; version=0.0.4; charset=utf-8" in headers
    assert "# EOF" not in body


async def test_an_exemplar_leads_from_a_latency_to_its_trace_and_only_in_openmetrics() -> None:
    trace_id, lost = "0af7651916cd43dd8448eb211c80319c", "1af7651916cd43dd8448eb211c80319c"
    sampled = trace.get_current_span(context_from_traceparent(f"00-{trace_id}-b7ad6b7169203331-01"))
    not_sampled = trace.get_current_span(context_from_traceparent(f"00-{lost}-b7ad6b7169203331-00"))
    latency = histogram("toy_latency_seconds", "Latency.")
    latency.observe(0.004, exemplar_of(sampled))
    latency.observe(0.2, exemplar_of(not_sampled))
    latency.observe(20, exemplar_of(trace.INVALID_SPAN))
    async with serving() as server:
        _, _, rich = await ask(server.port, request("/metrics", accept=PROMETHEUS))
        _, _, plain = await ask(server.port, request("/metrics"))
    marked = [line for line in rich.splitlines() if line.startswith("toy_latency_seconds") and " # " in line]
    assert len(marked) == 1
    assert re.fullmatch(
        rf'toy_latency_seconds_bucket{{le="0.005"}} 1.0 # {{trace_id="{trace_id}"}} 0.004 .+', marked[0]
    )
    assert lost not in rich
    assert trace_id not in plain


@pytest.mark.parametrize(
    "wrong", [b"rubbish\r\n\r\n", b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\0" * 300]
)
async def test_what_is_no_request_is_refused_without_filling_the_log(
    wrong: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with serving() as server:
            status, _, _ = await ask(server.port, wrong)
    assert status in ("HTTP/1.0 400 Bad Request", "HTTP/1.1 400 Bad Request")
    assert caplog.records == []


async def test_too_many_headers_are_refused() -> None:
    headers = b"".join(b"A%d: b\r\n" % number for number in range(metrics_server.HEADER_LINES_MAX + 1))
    async with serving() as server:
        status, _, _ = await ask(server.port, b"GET /livez HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n")
    assert status.endswith("400 Bad Request")


@pytest.mark.parametrize("begun", [b"", b"GET /livez HTTP/1.1\r\nHost: a\r\n"])
async def test_a_client_that_never_finishes_its_request_is_cut_off(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "REQUEST_TIMEOUT_S", 0.2)
    async with serving() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(begun)
        assert await until_closed(reader) == b""
        writer.close()
        assert (await ask(server.port, request("/livez")))[2] == "live\n"


async def test_a_client_that_does_not_take_its_response_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(metrics_server, "RESPONSE_TIMEOUT_S", 0.2)
    registry = CollectorRegistry()
    wide = Gauge("toy_wide", "More than the buffers of two sockets hold.", ["text"], registry=registry)
    for number in range(200):
        wide.labels(str(number) + "x" * 100_000).set(1)
    async with serving(registry=registry) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1_024)
        writer.write(request("/metrics"))
        await asyncio.sleep(1)  # Takes no more than the buffers meanwhile.
        got = await until_closed(reader)
        writer.close()
        assert len(got) < 20_000_000
        assert (await ask(server.port, request("/livez")))[2] == "live\n"
    assert caplog.records == []


@pytest.mark.parametrize("begun", [b"", b"GET /metrics HTTP/1.1\r\nHost: a\r\n"], ids=["silent", "half a request"])
async def test_connections_that_ask_nothing_keep_no_probe_out_and_are_few(begun: bytes) -> None:
    async with serving() as server:
        held = []
        for _ in range(10 * CONNECTIONS_MAX):
            held.append(await asyncio.open_connection("127.0.0.1", server.port))
            held[-1][1].write(begun)
            if len(held) % CONNECTIONS_MAX == 0:
                assert (await ask(server.port, request("/readyz")))[2] == "ready\n"
        ended = [reader for reader, _ in held if reader.at_eof() or reader.exception() is not None]
        assert len(held) - len(ended) <= CONNECTIONS_MAX
        for _, writer in held:
            writer.transport.abort()


async def test_stopping_ends_connections_that_have_asked_nothing_yet() -> None:
    server = serving()
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await server.stop()
    assert await until_closed(reader) == b""
    writer.close()
    with pytest.raises(OSError, match=r"."):
        await asyncio.open_connection("127.0.0.1", server.port)
