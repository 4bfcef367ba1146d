"""Calls that fail: the reason, what to tell a person, and waiting for a service that cannot be reached."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import grpc
from apportion_common.backoff import Backoff
from apportion_common.clock import SystemClock
from apportion_common.errors import UNAVAILABLE_SINCE
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

T = TypeVar("T")

RETRY_FIRST_S = 0.2
RETRY_MAX_S = 5.0
"""Pause between attempts at a service that cannot be reached."""
OUTAGE_S_MAX = 12 * 3600.0
"""How long calls wait for what cannot be reached: long enough for a night, and not forever."""
UNREACHABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
NO_ROOM = ("TOO_MANY_CALLS", "SERVER_BUSY")
"""Reasons of calls that were turned away at the door: nothing of them was done, and there will be room again."""


class OutageTooLongError(Exception):
    """What a call needs was not there for as long as one waits for it; the message is a full sentence."""


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Return the stable reason of a refused call, or an empty text."""
    return str(_info_of(error).reason)


def retry_after_s(error: grpc.aio.AioRpcError) -> float:
    """Return how many seconds the service asks to wait before the next attempt; 0 when it asks for nothing."""
    retry = error_details_pb2.RetryInfo()
    _unpack(error, retry)
    delay: timedelta = retry.retry_delay.ToTimedelta()
    return max(delay.total_seconds(), 0.0)


def _info_of(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    _unpack(error, info)
    return info


def _unpack(error: grpc.aio.AioRpcError, detail: Message) -> None:
    """Fill a detail from the first one of its type in the status; leave it empty when there is none."""
    status = rpc_status.from_call(error)
    any(packed.Unpack(detail) for packed in (status.details if status else ()))


def _first_line(error: grpc.aio.AioRpcError) -> str:
    return describe(error).splitlines()[0]


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


class Outage:
    """Calls that wait together for what they need: it is said once when an outage begins, and once when it is over.

    One object serves any number of calls at the same time. An outage begins with a call that cannot be answered now,
    and is over with the answer to one that was sent after that.
    """

    def __init__(self, say: Callable[[str], None], outage_s_max: float = OUTAGE_S_MAX) -> None:
        """Say sentences through `say`; give up when an outage lasts for longer than `outage_s_max`."""
        self._say = say
        self._outage_s_max = outage_s_max
        self._clock = SystemClock()
        self._began_s: float | None = None
        self._backoff = Backoff(RETRY_FIRST_S, RETRY_MAX_S)

    async def retry(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return the answer to a call that may be sent again, however often that takes.

        Waits between attempts are at least as long as the service asks for. Raises OutageTooLongError, and at once the
        grpc.aio.AioRpcError of a call that waiting does not help.
        """
        failures = 0
        while True:
            sent_s = time.monotonic()
            try:
                answer = await call()
            except grpc.aio.AioRpcError as error:
                if error.code() not in UNREACHABLE and reason_of(error) not in NO_ROOM:
                    raise
                failures += 1
                left_s = self._unanswered(error)
                await asyncio.sleep(min(retry_after_s(error) + self._backoff.delay_s(failures), left_s))
            else:
                self._answered(sent_s)
                return answer

    def _unanswered(self, error: grpc.aio.AioRpcError) -> float:
        """Say it when it is the outage's first; return for how many seconds it may last on."""
        now_s = time.monotonic()
        if self._began_s is None:
            self._began_s = now_s
            self._say(
                f"No answer since {self._since(error)}: {_first_line(error)} "
                f"Trying again, for {_span(timedelta(seconds=self._outage_s_max))} at most."
            )
        left_s = self._began_s + self._outage_s_max - now_s
        if left_s <= 0:
            lasted = _span(timedelta(seconds=round(self._outage_s_max)))
            raise OutageTooLongError(f"Given up: no answer for {lasted}. The last one was {_first_line(error)}")
        return left_s

    def _answered(self, sent_s: float) -> None:
        if self._began_s is not None and sent_s >= self._began_s:
            lasted_s = math.ceil(time.monotonic() - self._began_s)
            self._began_s = None
            self._say(f"Answered again, after {_span(timedelta(seconds=lasted_s))}.")

    def _since(self, error: grpc.aio.AioRpcError) -> str:
        """Return when the outage began: as the service says, or else now."""
        said = _info_of(error).metadata.get(UNAVAILABLE_SINCE, "")
        return said or self._clock.now().isoformat(timespec="seconds").replace("+00:00", "Z")


async def retry_until_available(
    call: Callable[[], Awaitable[T]], say: Callable[[str], None], outage_s_max: float = OUTAGE_S_MAX
) -> T:
    """Repeat a call that may be sent again until it is answered; one call's `Outage`, and its errors."""
    return await Outage(say, outage_s_max).retry(call)
