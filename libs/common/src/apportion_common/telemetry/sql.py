"""A span for every SQL statement that is executed inside a trace. Polling loops, which have none, make none."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from sqlalchemy import Table, event
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion_common.telemetry.conventions import (
    DB_COLLECTION_NAME,
    DB_NAMESPACE,
    DB_OPERATION_NAME,
    DB_QUERY_TEXT,
    DB_RESPONSE_STATUS_CODE,
    DB_SYSTEM_NAME,
    ERROR_TYPE,
    POSTGRESQL,
)
from apportion_common.telemetry.tracing import ATTRIBUTE_CHARS_MAX

_SPAN: Final = "_apportion_span"


def trace_statements(engine: AsyncEngine, tracer_provider: trace.TracerProvider | None = None) -> None:
    """Trace the statements of the engine's connections spans, with their text and never their values."""
    database = engine.url.database or ""
    our_tracer = trace.get_tracer(__name__, tracer_provider=tracer_provider)

    def begin(_conn: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        if context is None or not trace.get_current_span().is_recording():
            return
        operation = statement.split(None, 1)[0].upper() if statement.strip() else "SQL"
        attributes = {
            DB_SYSTEM_NAME: POSTGRESQL,
            DB_NAMESPACE: database,
            DB_OPERATION_NAME: operation,
            DB_QUERY_TEXT: statement[:ATTRIBUTE_CHARS_MAX],
        }
        table = _table(context)
        if table is not None:
            attributes[DB_COLLECTION_NAME] = table
        span = our_tracer.start_span(f"{operation} {table or database}", kind=SpanKind.CLIENT, attributes=attributes)
        setattr(context, _SPAN, span)

    def end(_conn: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        span = _taken(context)
        if span is not None:
            span.end()

    def fail(failure: Any) -> None:
        span = _taken(failure.execution_context)
        if span is not None:
            error = failure.original_exception
            # The error's own text may hold values of a row.
            span.set_status(StatusCode.ERROR, type(error).__name__)
            span.set_attribute(ERROR_TYPE, type(error).__name__)
            if isinstance(error, psycopg.Error) and error.sqlstate is not None:
                span.set_attribute(DB_RESPONSE_STATUS_CODE, error.sqlstate)
            span.end()

    event.listen(engine.sync_engine, "before_cursor_execute", begin)
    event.listen(engine.sync_engine, "after_cursor_execute", end)
    event.listen(engine.sync_engine, "handle_error", fail)


def _taken(context: Any) -> Span | None:
    """Return the statement's span, handed out once."""
    span: Span | None = getattr(context, _SPAN, None)
    if span is not None:
        setattr(context, _SPAN, None)
    return span


def _table(context: Any) -> str | None:
    """Return the table that a statement built of SQLAlchemy's constructs writes.

    It is not looked for in a statement's text, nor in a query: these may name several.
    """
    table = getattr(getattr(context.compiled, "statement", None), "table", None)
    return str(table.fullname) if isinstance(table, Table) else None
