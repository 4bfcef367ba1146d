"""Who acts: the caller of the RPC that is being served, or the service itself outside a call."""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry import trace

from apportion_common.caller import optional_caller


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever an audit entry or a request record names."""

    subject: str
    acting_for: str | None
    request_id: str | None


def current_actor(service: str) -> Actor:
    """Return the caller of the RPC being served; `service:<name>` in background work."""
    caller = optional_caller()
    if caller is None:
        return Actor(f"service:{service}", None, None)
    return Actor(caller.subject, getattr(caller, "acting_for", None), caller.request_id or None)


def current_trace_id() -> str | None:
    """Return the id of the current trace as 32 hexadecimal digits, None outside a recorded one."""
    span = trace.get_current_span().get_span_context()
    return format(span.trace_id, "032x") if span.is_valid else None


def current_traceparent() -> str:
    """Return the W3C traceparent of the current span, empty outside one."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return ""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
