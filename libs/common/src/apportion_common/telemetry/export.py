"""Where spans go: a file of JSON lines, or a collector; both see redacted spans only."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status

from apportion_common.redaction import REDACTED, is_sensitive_key, redact_text
from apportion_common.telemetry.conventions import DB_QUERY_TEXT, with_current_names

_ABORTED: Final = "AbortError"
"""How grpc ends a call that was refused; the span's status says so already."""


def redact_attribute(key: str, value: Any) -> Any:
    """Return the attribute's value as it may leave the process."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if is_sensitive_key(key):
        return REDACTED
    if isinstance(value, str):
        # Of statements there are few, and they are long: each is looked through once.
        return _redact_statement(value) if key == DB_QUERY_TEXT else redact_text(value)
    if isinstance(value, tuple | list):
        return [redact_text(item) if isinstance(item, str) else item for item in value]
    return REDACTED


_redact_statement: Final = lru_cache(maxsize=1_024)(redact_text)


def redact_span(span: ReadableSpan) -> ReadableSpan:
    """Return a copy of the span whose attributes, events and status text hold nothing that must not be written down.

    Its attributes have the conventions' current names.
    """
    events = [
        Event(
            event.name,
            {key: redact_attribute(key, value) for key, value in (event.attributes or {}).items()},
            event.timestamp,
        )
        for event in span.events
        if not str((event.attributes or {}).get("exception.type", "")).endswith(_ABORTED)
    ]
    attributes = {key: redact_attribute(key, value) for key, value in (span.attributes or {}).items()}
    description = span.status.description
    return ReadableSpan(
        name=redact_text(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=with_current_names(attributes),
        events=events,
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code, None if description is None else redact_text(description)),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


class RedactingExporter(SpanExporter):
    """Hands redacted copies of spans on to another exporter."""

    def __init__(self, inner: SpanExporter) -> None:
        """Export through `inner`."""
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export redacted copies."""
        return self._inner.export([redact_span(span) for span in spans])

    def shutdown(self) -> None:
        """Shut the inner exporter down."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the inner exporter."""
        return self._inner.force_flush(timeout_millis)


class JsonLinesExporter(SpanExporter):
    """Appends one JSON object per span to a file, in whole lines, also when several processes share the file."""

    def __init__(self, file: Path, service: str) -> None:
        """Open the file for appending, and make its folder when it is missing."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self._service = service
        self._descriptor: int | None = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the spans; a disk that refuses them loses them and nothing else."""
        if self._descriptor is None:
            return SpanExportResult.FAILURE
        lines = "".join(json.dumps(self._line(span), separators=(",", ":"), default=str) + "\n" for span in spans)
        left = memoryview(lines.encode())
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: nothing is held back between exports."""
        return True

    def _line(self, span: ReadableSpan) -> dict[str, object]:
        context = span.context
        return {
            "name": span.name,
            "service": self._service,
            "trace_id": f"{context.trace_id:032x}" if context else "",
            "span_id": f"{context.span_id:016x}" if context else "",
            "parent_span_id": f"{span.parent.span_id:016x}" if span.parent else "",
            "links": [
                {"trace_id": f"{link.context.trace_id:032x}", "span_id": f"{link.context.span_id:016x}"}
                for link in span.links
            ],
            "kind": span.kind.name,
            "start_ns": span.start_time,
            "end_ns": span.end_time,
            "status": span.status.status_code.name,
            "status_message": span.status.description or "",
            "attributes": {key: _plain(value) for key, value in (span.attributes or {}).items()},
            "events": [
                {"name": event.name, "at_ns": event.timestamp, "attributes": dict(event.attributes or {})}
                for event in span.events
            ],
        }


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple | list) else value
