"""Counts and times every call under the names of go-grpc-prometheus, and writes one log line about it."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import structlog
from opentelemetry import trace

from apportion_common.caller import CallInfo, current_call, enter_call
from apportion_common.grpc import limits
from apportion_common.grpc.interceptors.base import Call, CallInterceptor
from apportion_common.logs import get_logger
from apportion_common.metrics import counter, histogram
from apportion_common.telemetry.tracing import exemplar_of

log = get_logger("apportion.access")

_LABELS: Final = ("grpc_type", "grpc_service", "grpc_method")
STARTED: Final = counter("grpc_server_started_total", "Calls begun.", _LABELS)
HANDLED: Final = counter("grpc_server_handled_total", "Calls ended, by status code.", (*_LABELS, "grpc_code"))
HANDLING: Final = histogram("grpc_server_handling_seconds", "Time from the first request to the last answer.", _LABELS)

_REQUEST_ID: Final = re.compile(rf"[!-~]{{1,{limits.REQUEST_ID_CHARS_MAX}}}")
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_CODE_LABELS: Final = {code: "".join(part.title() for part in code.name.split("_")) for code in grpc.StatusCode} | {
    grpc.StatusCode.OK: "OK"
}
"""As go-grpc-prometheus writes them: OK, InvalidArgument, …"""
_OUR_FAULT: Final = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS})


class MetricsLogInterceptor(CallInterceptor):
    """The outermost of ours: sees the code that the client sees, whatever happened inside."""

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Measure the call and log its end."""
        method, context = call.method, call.context
        labels = (method.kind, method.service, method.name)
        info = CallInfo(method.full_name, _request_id(context))
        enter_call(info)
        structlog.contextvars.bind_contextvars(request_id=info.request_id)
        STARTED.labels(*labels).inc()
        peer = context.peer()  # No longer known once the call has ended.
        span = trace.get_current_span()
        started = time.perf_counter()
        code = grpc.StatusCode.UNKNOWN
        try:
            yield
            code = _code(context, grpc.StatusCode.OK)
        except (asyncio.CancelledError, GeneratorExit):
            code = grpc.StatusCode.CANCELLED
            raise
        except BaseException:
            code = _code(context, grpc.StatusCode.UNKNOWN)
            raise
        finally:
            duration_s = time.perf_counter() - started
            HANDLED.labels(*labels, _CODE_LABELS[code]).inc()
            HANDLING.labels(*labels).observe(duration_s, exemplar_of(span))
            (log.error if code in _OUR_FAULT else log.info)(
                "rpc",
                method=method.full_name,
                code=code.name,
                reason=info.reason,
                duration_ms=round(duration_s * 1000, 3),
                subject=info.caller.subject if info.caller is not None else "",
                peer=peer,
                request_id=info.request_id,
            )

    async def admit(self, call: Call, message: Any) -> None:
        """Take a mutation's own request_id as the id of the call."""
        own = getattr(message, "request_id", None)
        info = current_call()
        if info is not None and isinstance(own, str) and _REQUEST_ID.fullmatch(own):
            info.request_id = own
            structlog.contextvars.bind_contextvars(request_id=own)


def _request_id(context: Any) -> str:
    """Return what the client calls the call, or a fresh id."""
    for key, value in context.invocation_metadata() or ():
        if key == "x-request-id" and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return str(uuid.uuid4())


def _code(context: Any, default: grpc.StatusCode) -> grpc.StatusCode:
    """Return the status that the context was given; `default` when it was given none."""
    code = context.code()
    if isinstance(code, grpc.StatusCode):
        return code if code is not grpc.StatusCode.OK else default
    return _CODES.get(code, default) if code else default
