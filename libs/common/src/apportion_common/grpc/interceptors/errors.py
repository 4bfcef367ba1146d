"""Turns what a handler raises into the status that callers see. Nothing of an unexpected error leaves the process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import nats.errors
import psycopg
import sqlalchemy.exc
from opentelemetry import trace

from apportion_common.caller import current_call
from apportion_common.errors import ApportionError, InvalidArgument, Unavailable, Unimplemented
from apportion_common.faults import classify, sqlstate_of
from apportion_common.grpc.interceptors.base import UNREADABLE, Call, CallInterceptor
from apportion_common.grpc.status import Internal, abort
from apportion_common.logs import get_logger

log = get_logger(__name__)


class ErrorsInterceptor(CallInterceptor):
    """Stands inside the tracer, which would otherwise send an unhandled error's text to the client."""

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Abort the call with the status of whatever was raised; cancellation passes."""
        try:
            yield
        except grpc.aio.AbortError:
            raise
        except Exception as raised:
            error = self._translate(call, raised)
        else:
            return
        info = current_call()
        if info is not None:
            info.reason = error.reason
        trace.get_current_span().set_attribute("apportion.reason", error.reason)
        await abort(call.context, error)

    async def admit(self, call: Call, message: Any) -> None:
        """Refuse bytes that are no message of the request's type."""
        if message is UNREADABLE:
            raise InvalidArgument("REQUEST_MALFORMED", "The request's bytes are no message of its type.")

    def deserializer(self, inner: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        """Return the inner one, but unreadable bytes become a value: grpc would answer in its own words."""

        def read(raw: bytes) -> Any:
            try:
                return inner(raw)
            except Exception:
                return UNREADABLE

        return read

    @staticmethod
    def _translate(call: Call, raised: Exception) -> ApportionError:
        if isinstance(raised, ApportionError):
            return raised
        if isinstance(raised, NotImplementedError) and call.context.code() in _UNIMPLEMENTED:
            return Unimplemented("NOT_IMPLEMENTED", f"{call.method.name} is in the contract and not built yet.")
        if _holds_nul(raised):
            return InvalidArgument("TEXT_HOLDS_NUL", "A text of the request holds the character U+0000.")
        error = unavailable_because(raised)
        if error is None:
            log.error("unexpected_error", method=call.method.full_name, exc_info=raised)
            return Internal()
        log.warning("unavailable", method=call.method.full_name, reason=error.reason, exc_info=raised)
        return error


_UNTRANSLATABLE: Final = "22P05"
"""SQLSTATE of a JSON text with U+0000; in a plain text psycopg finds it itself, without a SQLSTATE."""


def _holds_nul(raised: Exception) -> bool:
    """Return whether the database took a text for no text: PostgreSQL stores every character but U+0000."""
    found = raised.orig if isinstance(raised, sqlalchemy.exc.DBAPIError) else raised
    if not isinstance(found, psycopg.DataError):
        return False
    return found.sqlstate == _UNTRANSLATABLE or (found.sqlstate is None and "NUL (0x00)" in str(found))


_STOOD_IDLE: Final = "25P03"
"""SQLSTATE of a transaction that the database ended because this process did not go on with it: nothing was written."""
_UNIMPLEMENTED = (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNIMPLEMENTED.value[0])


def unavailable_because(raised: Exception) -> Unavailable | None:
    """Return the rejection that tells a caller to try again, when something around the service failed; else None."""
    if isinstance(raised, sqlalchemy.exc.TimeoutError):
        return Unavailable("DATABASE_BUSY", "Too many calls need the database at once.")
    if isinstance(raised, sqlalchemy.exc.DBAPIError | psycopg.Error):
        if isinstance(raised, psycopg.OperationalError | sqlalchemy.exc.OperationalError) or (
            classify(raised) == "infrastructure"
        ):
            if sqlstate_of(raised) == _STOOD_IDLE:
                return Unavailable("DATABASE_UNAVAILABLE", "The service was too busy to go on; nothing was written.")
            return Unavailable("DATABASE_UNAVAILABLE", "The database does not answer.")
        return None
    if isinstance(raised, nats.errors.Error):
        return Unavailable("STREAM_UNAVAILABLE", "The message stream does not answer.")
    if isinstance(raised, grpc.aio.AioRpcError):
        waits = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)
        if raised.code() in waits:
            return Unavailable("DEPENDENCY_UNAVAILABLE", "Another service that is needed does not answer.")
        return None
    if isinstance(raised, TimeoutError | ConnectionError):
        return Unavailable("DEPENDENCY_UNAVAILABLE", "Something that is needed does not answer in time.")
    return None
