"""Sets a deadline for every call: the client's, within limits, or a default one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from apportion_common.grpc import limits
from apportion_common.grpc.interceptors.base import Call, CallInterceptor, close
from apportion_common.grpc.status import DeadlineExceeded


class DeadlineInterceptor(CallInterceptor):
    """Cancels a handler at its deadline, so that work nobody waits for any more ends."""

    def __init__(self, default_s: float = limits.DEFAULT_DEADLINE_S, max_s: float = limits.DEADLINE_S_MAX) -> None:
        """Limits in seconds: without a client's deadline, and whatever the client asks for."""
        self._default_s = default_s
        self._max_s = max_s

    def _deadline(self, call: Call) -> float:
        """When the call must be over, in the loop's time."""
        asked_s: float | None = call.context.time_remaining()
        if asked_s is None:
            asked_s = self._max_s if call.method.response_streaming else self._default_s
        return asyncio.get_running_loop().time() + min(asked_s, self._max_s)

    async def unary(self, call: Call, work: Callable[[], Awaitable[Any]]) -> Any:
        """Run the work up to the deadline."""
        try:
            async with asyncio.timeout_at(self._deadline(call)) as scope:
                return await work()
        except TimeoutError:
            if scope.expired():
                raise _exceeded() from None
            raise

    async def stream(self, call: Call, answers: Callable[[], AsyncIterator[Any]]) -> AsyncIterator[Any]:
        """Run the work up to the deadline; the time-out is never pending while the answer is on its way out."""
        deadline = self._deadline(call)
        stream = answers()
        try:
            while True:
                try:
                    async with asyncio.timeout_at(deadline) as scope:
                        answer = await anext(stream)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    if scope.expired():
                        raise _exceeded() from None
                    raise
                yield answer
        finally:
            await close(stream)


def _exceeded() -> DeadlineExceeded:
    return DeadlineExceeded("DEADLINE_EXCEEDED", "The call took longer than its deadline allows.")
