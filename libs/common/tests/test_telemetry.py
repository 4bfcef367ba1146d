"""Spans in files, their redaction, and the metrics listener."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apportion_common.db.engine import make_engine
from apportion_common.metrics import MetricsServer, counter, gauge, split_address
from apportion_common.telemetry.export import JsonLinesExporter
from apportion_common.telemetry.sql import trace_statements
from apportion_common.telemetry.tracing import (
    EXPORT_EVERY_MS,
    context_from_traceparent,
    current_traceparent,
    make_provider,
    traceparent_of,
)
from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind, StatusCode
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError


def test_spans_are_written_one_a_line_with_links_and_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "traces" / "toy.jsonl"
    provider = make_provider("toy", "worker-1", [JsonLinesExporter(file, "toy")])
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("outer", kind=SpanKind.SERVER) as outer:
        outer.set_attribute("billing_email", "ada")
        outer.set_attribute("db.statement", "SELECT 'ada@example.com'")
        outer.set_attribute("lanes", [1, 2])
        with tracer.start_as_current_span("inner", links=[Link(outer.get_span_context())]) as inner:
            inner.set_status(StatusCode.ERROR, "no mail for ada@example.com")
            inner.record_exception(ValueError("ada@example.com"))
            inside = current_traceparent()
    provider.shutdown()
    written = file.read_text()
    first, second = (json.loads(line) for line in written.splitlines())
    assert (first["name"], second["name"]) == ("inner", "outer")
    assert inside.startswith(f"00-{first['trace_id']}-{first['span_id']}-")
    assert first["parent_span_id"] == second["span_id"]
    assert first["links"] == [{"trace_id": second["trace_id"], "span_id": second["span_id"]}]
    assert (first["status"], second["status"], second["kind"]) == ("ERROR", "UNSET", "SERVER")
    assert second["start_ns"] <= first["start_ns"] <= first["end_ns"] <= second["end_ns"]
    assert second["attributes"] == {
        "billing_email": "[redacted]",
        "db.statement": "SELECT '[redacted]'",
        "lanes": [1, 2],
    }
    assert second["service"] == "toy"
    assert "ada@" not in written


async def test_spans_are_written_while_the_process_runs(tmp_path: Path) -> None:
    assert EXPORT_EVERY_MS <= 1_000
    file = tmp_path / "toy.jsonl"
    provider = make_provider("toy", "worker-1", [JsonLinesExporter(file, "toy")])
    provider.get_tracer("test").start_span("alone").end()
    async with asyncio.timeout(60):
        while not file.read_text():  # noqa: ASYNC110 - the exporter's thread tells nobody
            await asyncio.sleep(0.05)
    provider.shutdown()


async def test_a_statement_inside_a_trace_has_a_span_and_a_polling_one_has_none(
    tmp_path: Path, blank_database: Callable[..., Any]
) -> None:
    file = tmp_path / "toy.jsonl"
    provider = make_provider("toy", "worker-1", [JsonLinesExporter(file, "toy")])
    engine = make_engine(blank_database().app_url, "test", 1)
    trace_statements(engine, provider)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        await connection.rollback()
        with provider.get_tracer("test").start_as_current_span("call"):
            await connection.execute(text("SELECT CAST(:value AS text)"), {"value": "hidden"})
            with pytest.raises(DBAPIError):
                await connection.execute(text("SELECT CAST(:value AS integer)"), {"value": "hidden"})
    await engine.dispose()
    provider.shutdown()
    good, bad, call = (json.loads(line) for line in file.read_text().splitlines())
    assert (good["kind"], good["status"], good["attributes"]["db.operation"]) == ("CLIENT", "UNSET", "SELECT")
    assert (bad["status"], bad["status_message"]) == ("ERROR", "InvalidTextRepresentation")
    assert good["parent_span_id"] == bad["parent_span_id"] == call["span_id"]
    assert "hidden" not in file.read_text()


def test_a_traceparent_carries_a_trace_and_rubbish_carries_none() -> None:
    known = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert traceparent_of(trace.get_current_span(context_from_traceparent(known))) == known
    for rubbish in ("", "00-0-0-01", "nonsense", known[:-3]):
        assert not trace.get_current_span(context_from_traceparent(rubbish)).get_span_context().is_valid
    assert current_traceparent() == ""


async def ask(port: int, request: bytes) -> tuple[str, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return head.split("\r\n")[0], body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


async def test_metrics_and_probes_are_served_over_http() -> None:
    ready = False
    counter("toy_things_total", "Things.", ["kind"]).labels("round").inc(3)
    async with MetricsServer("127.0.0.1:0", lambda: ready) as server:
        assert await ask(server.port, get("/livez")) == ("HTTP/1.1 200 OK", "live\n")
        assert (await ask(server.port, get("/readyz")))[0] == "HTTP/1.1 503 Service Unavailable"
        ready = True
        assert (await ask(server.port, get("/readyz?verbose")))[0] == "HTTP/1.1 200 OK"
        status, body = await ask(server.port, get("/metrics"))
        assert status == "HTTP/1.1 200 OK"
        assert 'toy_things_total{kind="round"} 3.0' in body
        assert (await ask(server.port, get("/secrets")))[0] == "HTTP/1.1 404 Not Found"
        assert (await ask(server.port, b"POST /metrics HTTP/1.1\r\n\r\n"))[0] == "HTTP/1.1 405 Method Not Allowed"
        assert (await ask(server.port, b"rubbish\r\n\r\n"))[0] == "HTTP/1.1 405 Method Not Allowed"
        assert await ask(server.port, b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n") == ("", "")


def test_a_metric_is_made_once_and_keeps_its_kind() -> None:
    assert counter("toy_once_total", "Once.") is counter("toy_once_total", "Once.")
    with pytest.raises(ValueError, match="is a Counter"):
        gauge("toy_once_total", "Once.")


def test_an_address_is_host_and_port() -> None:
    assert split_address("127.0.0.1:90") == ("127.0.0.1", 90)
    assert split_address("[::1]:0") == ("::1", 0)
    for wrong in ("", "host", "host:", ":90", "host:x", "host:70000"):
        with pytest.raises(ValueError, match="host:port"):
            split_address(wrong)
