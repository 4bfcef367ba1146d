"""Follow an event's trace through batches that mix many callers.

A batch has a span of its own, linked to every trace that it carries. For each of those traces there is
one child span of the span that handed the entries on, linked to the batch's span; its context goes on
with the entries. So the trace of one call runs through every process, however the entries were batched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType

from apportion.common.v1 import lane_pb2
from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind
from opentelemetry.util.types import AttributeValue

from apportion_common.telemetry.conventions import MESSAGING_DESTINATION_PARTITION_ID, PROCESSING
from apportion_common.telemetry.tracing import context_from_traceparent, traceparent_of, tracer


class BatchTraces(AbstractContextManager["BatchTraces"]):
    """The spans of one batch. Use as a context manager round the batch's work."""

    def __init__(
        self, name: str, incoming: Sequence[lane_pb2.TraceRange], attributes: Mapping[str, AttributeValue]
    ) -> None:
        self._tracer = tracer(__name__)
        self._name = name
        # A lane is a partition, by the conventions' word.
        partition = {MESSAGING_DESTINATION_PARTITION_ID: str(attributes["lane"])} if "lane" in attributes else {}
        self._attributes: dict[str, AttributeValue] = {**PROCESSING, **partition, **attributes}
        self._incoming = incoming
        self._children: dict[str, Span] = {}
        self._batch: Span | None = None

    def __enter__(self) -> BatchTraces:
        contexts = {r.traceparent: context_from_traceparent(r.traceparent) for r in self._incoming if r.traceparent}
        links = [Link(trace.get_current_span(context).get_span_context()) for context in contexts.values()]
        self._batch = self._tracer.start_span(
            f"{self._name}.batch", context=None, kind=SpanKind.CONSUMER, links=links, attributes=self._attributes
        )
        own = Link(self._batch.get_span_context())
        for traceparent, context in contexts.items():
            self._children[traceparent] = self._tracer.start_span(
                self._name, context=context, kind=SpanKind.CONSUMER, links=[own], attributes=self._attributes
            )
        self._scope = trace.use_span(self._batch, end_on_exit=False)
        self._scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._scope.__exit__(kind, error, traceback)
        for span in self._children.values():
            span.end()
        if self._batch is not None:
            self._batch.end()

    def onward(self, traceparent: str) -> str:
        """Return the context that entries which came with `traceparent` go on with."""
        span = self._children.get(traceparent)
        return traceparent_of(span) if span is not None else ""

    def ranges(self, sources: Iterable[str]) -> list[lane_pb2.TraceRange]:
        """Return the outgoing ranges for entries whose incoming traceparents are `sources`, in order.

        Neighbours of one source share a range; entries without a trace are left out.
        """
        out: list[lane_pb2.TraceRange] = []
        last: str | None = None
        for index, source in enumerate(sources):
            if source and source == last:
                out[-1].count += 1
            elif source:
                out.append(lane_pb2.TraceRange(traceparent=self.onward(source), first=index, count=1))
            last = source
        return out


def expand(ranges: Sequence[lane_pb2.TraceRange], count: int) -> list[str]:
    """Return for each of `count` entries the traceparent that it came with, or an empty text."""
    sources = [""] * count
    for item in ranges:
        for index in range(item.first, min(item.first + item.count, count)):
            sources[index] = item.traceparent
    return sources
