"""Spans in files, their redaction, and the registration of metrics."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apportion.common.v1 import lane_pb2
from apportion_common.db.engine import make_engine
from apportion_common.lanes import traces
from apportion_common.lanes.traces import BatchTraces
from apportion_common.metrics import counter, gauge, split_address
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
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanKind, StatusCode
from sqlalchemy import Column, Integer, MetaData, Table, text
from sqlalchemy.exc import DBAPIError


def test_spans_are_written_one_a_line_with_links_and_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "traces" / "toy.jsonl"
    provider = make_provider("toy", "worker-1", [JsonLinesExporter(file, "toy")])
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("outer", kind=SpanKind.SERVER) as outer:
        outer.set_attribute("billing_email", "ada")
        outer.set_attribute("db.query.text", "SELECT 'ada@example.com'")
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
        "db.query.text": "SELECT '[redacted]'",
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
    assert (good["kind"], good["status"], good["attributes"]["db.operation.name"]) == ("CLIENT", "UNSET", "SELECT")
    assert good["attributes"] == {
        "db.system.name": "postgresql",
        "db.namespace": engine.url.database,
        "db.operation.name": "SELECT",
        "db.query.text": "SELECT CAST(%(value)s AS text)",
    }
    assert (bad["status"], bad["status_message"]) == ("ERROR", "InvalidTextRepresentation")
    assert bad["attributes"]["error.type"] == "InvalidTextRepresentation"
    assert bad["attributes"]["db.response.status_code"] == "22P02"
    assert good["parent_span_id"] == bad["parent_span_id"] == call["span_id"]
    assert "hidden" not in file.read_text()


async def test_a_statement_that_writes_a_table_names_it(tmp_path: Path, blank_database: Callable[..., Any]) -> None:
    file = tmp_path / "toy.jsonl"
    provider = make_provider("toy", "worker-1", [JsonLinesExporter(file, "toy")])
    toys = Table("toy", MetaData(), Column("toy_id", Integer, primary_key=True))
    engine = make_engine(blank_database().owner_url, "test", 1)
    async with engine.begin() as connection:
        await connection.run_sync(toys.create)
    trace_statements(engine, provider)
    async with engine.connect() as connection:
        with provider.get_tracer("test").start_as_current_span("call"):
            await connection.execute(toys.insert().values(toy_id=1))
            await connection.execute(toys.select())
        await connection.rollback()
    await engine.dispose()
    provider.shutdown()
    write, read, _ = (json.loads(line) for line in file.read_text().splitlines())
    assert (write["name"], write["attributes"]["db.collection.name"]) == ("INSERT toy", "toy")
    assert read["name"] == f"SELECT {engine.url.database}"
    assert "db.collection.name" not in read["attributes"]


def test_the_names_of_a_call_that_instrumentation_still_writes_are_replaced_and_no_others(tmp_path: Path) -> None:
    file = tmp_path / "toy.jsonl"
    provider = make_provider("toy", "worker-1", [JsonLinesExporter(file, "toy")])
    call = {
        "rpc.system": "grpc",
        "rpc.service": "a.v1.A",
        "rpc.method": "Get",
        "rpc.grpc.status_code": 5,
        "rpc.user_agent": "grpc-python",
        "net.peer.ip": "127.0.0.1",
        "net.peer.port": "7000",
        "net.peer.name": "localhost",
        "apportion.reason": "NOTHING",
    }
    tracer = provider.get_tracer("test")
    tracer.start_span("call", attributes=call).end()
    tracer.start_span("other", attributes={"rpc.method": "Get", "net.peer.ip": "::1"}).end()
    provider.shutdown()
    first, other = (json.loads(line)["attributes"] for line in file.read_text().splitlines())
    assert first == {
        "rpc.system.name": "grpc",
        "rpc.method": "a.v1.A/Get",
        "rpc.response.status_code": "NOT_FOUND",
        "user_agent.original": "grpc-python",
        "network.peer.address": "127.0.0.1",
        "network.peer.port": "7000",
        "client.address": "localhost",
        "apportion.reason": "NOTHING",
    }
    assert other == {"rpc.method": "Get", "net.peer.ip": "::1"}


def test_a_batch_of_a_lane_says_what_it_processes() -> None:
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    known = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(traces, "tracer", provider.get_tracer)
        with BatchTraces("toy.write", [lane_pb2.TraceRange(traceparent=known, count=1)], {"lane": 3, "pos": 7}):
            pass
    child, batch = exporter.get_finished_spans()
    assert (child.name, batch.name) == ("toy.write", "toy.write.batch")
    for span in (child, batch):
        assert dict(span.attributes or {}) == {
            "messaging.system": "nats",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.partition.id": "3",
            "lane": 3,
            "pos": 7,
        }


def test_a_traceparent_carries_a_trace_and_rubbish_carries_none() -> None:
    known = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert traceparent_of(trace.get_current_span(context_from_traceparent(known))) == known
    for rubbish in ("", "00-0-0-01", "nonsense", known[:-3]):
        assert not trace.get_current_span(context_from_traceparent(rubbish)).get_span_context().is_valid
    assert current_traceparent() == ""


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
