"""Calls that fail: the reason, what to tell a person, and waiting for a service that cannot be reached."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import grpc
from apportion_common.backoff import Backoff
from google.rpc import error_details_pb2
from grpc_status import rpc_status

T = TypeVar("T")

RETRY_FIRST_S = 0.2
RETRY_MAX_S = 5.0
"""Pause between attempts at a service that cannot be reached."""
UNREACHABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Return the stable reason of a refused call, or an empty text."""
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def describe(error: grpc.aio.AioRpcError) -> str:
    """Return a refused call in words: status, reason, message, and what is wrong with which field."""
    lines = [f"{error.code().name} {reason_of(error)}: {error.details()}"]
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        bad = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(bad):
            # A rule of the service says of its field what the message says already.
            said = [one for one in bad.field_violations if one.description != error.details()]
            lines += [f"  {violation.field}: {violation.description}" for violation in said]
        elif detail.Unpack(retry):
            lines.append(f"  try again in {_span(retry.retry_delay.ToTimedelta())}")
    return "\n".join(lines)


def _span(length: timedelta) -> str:
    """Return a time to wait as people say it: seconds up to two minutes, then minutes and hours, rounded up."""
    if length <= timedelta(minutes=2):
        return f"{length.total_seconds():g} s"
    hours, minutes = divmod(math.ceil(length / timedelta(minutes=1)), 60)
    return " ".join([*([f"{hours} h"] if hours else []), *([f"{minutes} min"] if minutes else [])])


async def retry_until_available(call: Callable[[], Awaitable[T]], on_wait: Callable[[str], None]) -> T:
    """Repeat a call that may be sent again for as long as its service cannot be reached; say so through `on_wait`."""
    backoff = Backoff(RETRY_FIRST_S, RETRY_MAX_S)
    failures = 0
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() not in UNREACHABLE:
                raise
            on_wait(describe(error).splitlines()[0])
        failures += 1
        await backoff.wait(failures)
