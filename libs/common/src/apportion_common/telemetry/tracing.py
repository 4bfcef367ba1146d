"""Set-up of traces, and the few helpers that the rest of the code uses.

The context of a trace crosses processes as a W3C traceparent: in gRPC metadata by the stock interceptors, in messages
as a text that `current_traceparent` returns and `context_from_traceparent` takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from apportion_common.telemetry.export import JsonLinesExporter, RedactingExporter

EXPORT_EVERY_MS: Final = 500
QUEUED_SPANS_MAX: Final = 65_536
EXPORT_BATCH_MAX: Final = 4_096
ATTRIBUTE_CHARS_MAX: Final = 1_024
_TRACEPARENT: Final = TraceContextTextMapPropagator()


class Tracing:
    """The process's trace set-up; `shutdown` writes what is still held back."""

    def __init__(self, provider: TracerProvider) -> None:
        """Hold the provider that `setup_tracing` made."""
        self.provider = provider

    def flush(self) -> None:
        """Write the spans that have ended so far."""
        self.provider.force_flush()

    def shutdown(self) -> None:
        """Write the spans that have ended, and take no more."""
        self.provider.shutdown()


def setup_tracing(
    service: str, worker_id: str, *, otlp_endpoint: str | None = None, trace_file: Path | None = None
) -> Tracing:
    """Make the process's tracer provider and propagator the global ones.

    Spans go to the collector at `otlp_endpoint`, to `trace_file` as JSON lines, to both, or nowhere; what has ended is
    written within EXPORT_EVERY_MS, and at shutdown. Takes effect once a process: the first provider stays.
    """
    exporters: list[SpanExporter] = []
    if trace_file is not None:
        exporters.append(JsonLinesExporter(trace_file, service))
    if otlp_endpoint is not None:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        exporters.append(OTLPSpanExporter(endpoint=otlp_endpoint, insecure=otlp_endpoint.startswith("http://")))
    provider = make_provider(service, worker_id, exporters)
    trace.set_tracer_provider(provider)
    propagate.set_global_textmap(CompositePropagator([_TRACEPARENT]))
    return Tracing(provider)


def make_provider(service: str, worker_id: str, exporters: Sequence[SpanExporter]) -> TracerProvider:
    """Return a tracer provider that exports redacted spans through those exporters.

    It samples every trace unless the standard OTEL_TRACES_SAMPLER says otherwise.
    """
    provider = TracerProvider(
        resource=Resource.create(
            {"service.name": service, "service.namespace": "apportion", "service.instance.id": worker_id}
        ),
        shutdown_on_exit=False,
    )
    for exporter in exporters:
        provider.add_span_processor(
            BatchSpanProcessor(
                RedactingExporter(exporter),
                max_queue_size=QUEUED_SPANS_MAX,
                schedule_delay_millis=EXPORT_EVERY_MS,
                max_export_batch_size=EXPORT_BATCH_MAX,
            )
        )
    return provider


def tracer(name: str) -> trace.Tracer:
    """Return the tracer of a module, by its `__name__`."""
    return trace.get_tracer(name)


def traceparent_of(span: Span) -> str:
    """Return the W3C traceparent of a span; an empty text when it belongs to no trace."""
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def current_traceparent() -> str:
    """Return the W3C traceparent of the current span; an empty text outside any trace."""
    return traceparent_of(trace.get_current_span())


def context_from_traceparent(traceparent: str) -> Context:
    """Return the context in which a span is a child of that traceparent; an empty one when it is empty or malformed."""
    return _TRACEPARENT.extract({"traceparent": traceparent}, context=Context())


def current_trace_id() -> str:
    """Return the current trace's id, 32 hexadecimal digits; an empty text outside any trace."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ""


def exemplar_of(span: Span) -> dict[str, str] | None:
    """Return the labels of an exemplar that leads to the span's trace; None when nobody will find that trace."""
    context = span.get_span_context()
    return {"trace_id": f"{context.trace_id:032x}"} if context.is_valid and context.trace_flags.sampled else None
