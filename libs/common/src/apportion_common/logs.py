"""Logs: one JSON object a line on standard output, with trace, span and request id, without secrets.

Libraries that log through the standard library come out in the same form.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from apportion_common.redaction import redact_item, redact_text

TEXT_CHARS_MAX: Final = 16_384
"""Longest text of one value; what is longer is cut."""
_KEPT_AS_IS: Final = frozenset({"level", "logger", "service", "timestamp", "trace_id", "span_id"})
_CHATTY: Final = ("asyncio", "nats", "grpc", "sqlalchemy", "opentelemetry", "psycopg", "urllib3")
"""Libraries of which only warnings are kept, whatever the level."""


def configure_logs(service: str, level: str) -> None:
    """Send all logs of the process to standard output as JSON, from `level` (DEBUG … ERROR) on."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_service(service),
        add_trace_ids,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact_event,
    ]
    structlog.configure(
        processors=[*shared[:3], *shared[4:], structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(sort_keys=True, default=str, ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))


def log_to_stderr() -> None:
    """For a command whose standard output is its answer: what modules log goes to standard error instead."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def get_logger(name: str) -> FilteringBoundLogger:
    """Return a logger: `log.info("event_name", key=value)`."""
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def add_trace_ids(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add trace_id and span_id of the current span, if there is one."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event.setdefault("trace_id", f"{span.trace_id:032x}")
        event.setdefault("span_id", f"{span.span_id:016x}")
    return event


def redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take out of an event what must not be written down, and cut what is too long."""
    out: dict[str, Any] = {}
    for key, value in event.items():
        if key.startswith("_") or key in _KEPT_AS_IS:
            out[key] = value
        elif key in ("event", "exception", "stack"):
            out[key] = redact_text(str(value)[:TEXT_CHARS_MAX])
        else:
            seen = redact_item(key, value)
            out[key] = seen[:TEXT_CHARS_MAX] if isinstance(seen, str) else seen
    return out


def _add_service(service: str) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return add
