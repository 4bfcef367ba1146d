"""What all interceptors share: one shape for unary and streamed calls, and no way round the checks per message."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import grpc

from apportion_common.caller import optional_caller
from apportion_common.errors import InvalidArgument
from apportion_common.grpc import limits
from apportion_common.grpc.status import DeadlineExceeded

HEALTH_PREFIX: Final = "/grpc.health.v1.Health/"
INFRASTRUCTURE_PREFIXES: Final = (HEALTH_PREFIX, "/grpc.reflection.")
"""Health and reflection are public, unmeasured and untraced."""


def is_infrastructure(method: str) -> bool:
    """Return whether the full method name is one of health's or reflection's."""
    return method.startswith(INFRASTRUCTURE_PREFIXES)


@dataclass(frozen=True, slots=True)
class Method:
    """An RPC: `/service/name` and its kind as go-grpc-prometheus calls it (unary, client_stream, …)."""

    full_name: str
    service: str
    name: str
    kind: str
    request_streaming: bool
    response_streaming: bool


@dataclass(frozen=True, slots=True)
class Call:
    """One call on its way through an interceptor."""

    method: Method
    context: Any


class Unreadable:
    """Stands for a request whose bytes are no message of its type."""


UNREADABLE: Final = Unreadable()


class CallInterceptor:
    """Works around a call, from its headers to its last answer, and on each of its request messages."""

    def around(self, call: Call) -> AbstractAsyncContextManager[None]:
        """Surround the whole call. It begins with the headers: no message has been received yet."""
        return nullcontext()

    async def admit(self, call: Call, message: Any) -> None:
        """Look at one request message; raise to refuse it."""

    def looks_at_messages(self) -> bool:
        """Return whether `admit` does anything here."""
        return type(self).admit is not CallInterceptor.admit

    async def unary(self, call: Call, work: Callable[[], Awaitable[Any]]) -> Any:
        """Run the work that returns the answer."""
        async with self.around(call):
            return await work()

    async def stream(self, call: Call, answers: Callable[[], AsyncIterator[Any]]) -> AsyncIterator[Any]:
        """Run the work that returns the answers."""
        async with self.around(call):
            stream = answers()
            try:
                async for answer in stream:
                    yield answer
            finally:
                await close(stream)

    def deserializer(self, inner: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        """Return what turns bytes into a request in place of `inner`."""
        return inner


class CallChain(grpc.aio.ServerInterceptor):
    """Runs a call's interceptors, outermost first, before anything of its body is waited for.

    grpc.aio calls the handler of a single request only when the request is complete, so that a call without a body
    would hold its place unseen. To grpc, each RPC is therefore one of streamed requests; here the single message is
    read when every interceptor has let the call in, and within a time limit.

    Handlers may be coroutines, plain functions (generated ones that say UNIMPLEMENTED) or, for streamed answers,
    asynchronous generators. Writing with `context.write` is not supported.
    """

    def __init__(self, interceptors: Callable[[str], Sequence[CallInterceptor]]) -> None:
        """`interceptors` returns those of an RPC, by its full name."""
        self._interceptors = interceptors
        self._wrapped: dict[str, tuple[Any, Any]] = {}

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Wrap the handler, once for as long as the inner one stays the same."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        name = handler_call_details.method
        known = self._wrapped.get(name)
        if known is None or known[0] is not handler:
            known = (handler, _wrap(handler, method_of(name, handler), self._interceptors(name)))
            self._wrapped[name] = known
        return known[1]


def _wrap(handler: Any, method: Method, interceptors: Sequence[CallInterceptor]) -> Any:
    """Return a handler of streamed requests that runs the interceptors around the handler."""
    behaviour = handler_function(handler)
    checks = tuple(interceptor for interceptor in interceptors if interceptor.looks_at_messages())
    inwards = tuple(reversed(interceptors))

    async def prepare(call: Call, requests: Any) -> tuple[Any, Any]:
        if method.request_streaming:
            return _admitted(checks, call, requests), CheckedContext(checks, call)
        message = await _only_message(call)
        for interceptor in checks:
            await interceptor.admit(call, message)
        return message, call.context

    async def unary(requests: Any, context: Any) -> Any:
        call = Call(method, context)

        async def work() -> Any:
            answer = behaviour(*await prepare(call, requests))
            return await answer if inspect.isawaitable(answer) else answer

        run: Callable[[], Awaitable[Any]] = work
        for interceptor in inwards:
            run = partial(interceptor.unary, call, run)
        return await run()

    async def stream(requests: Any, context: Any) -> AsyncIterator[Any]:
        call = Call(method, context)

        async def answers() -> AsyncIterator[Any]:
            inner = behaviour(*await prepare(call, requests))
            try:
                async for answer in inner:
                    yield answer
            finally:
                await close(inner)

        run: Callable[[], AsyncIterator[Any]] = answers
        for interceptor in inwards:
            run = partial(interceptor.stream, call, run)
        outer = run()
        try:
            async for answer in outer:
                yield answer
        finally:
            await close(outer)

    deserializer = handler.request_deserializer
    for interceptor in inwards:
        deserializer = interceptor.deserializer(deserializer)
    make = grpc.stream_stream_rpc_method_handler if method.response_streaming else grpc.stream_unary_rpc_method_handler
    return make(
        stream if method.response_streaming else unary,
        request_deserializer=deserializer,
        response_serializer=handler.response_serializer,
    )


async def _only_message(call: Call) -> Any:
    """Return the message of a call that has one.

    Raises DeadlineExceeded REQUEST_NOT_RECEIVED when it is not here within REQUEST_TIMEOUT_S, or
    STRANGER_REQUEST_TIMEOUT_S where nobody is known, and InvalidArgument REQUEST_MISSING when the client has ended its
    side without one.
    """
    timeout_s = limits.STRANGER_REQUEST_TIMEOUT_S if optional_caller() is None else limits.REQUEST_TIMEOUT_S
    try:
        async with asyncio.timeout(timeout_s) as scope:
            message = await call.context.read()
    except TimeoutError:
        if not scope.expired():
            raise
        raise DeadlineExceeded(
            "REQUEST_NOT_RECEIVED", f"The request was not received within {timeout_s} seconds."
        ) from None
    if message is grpc.aio.EOF:
        raise InvalidArgument("REQUEST_MISSING", "The call has ended without a request.")
    return message


async def _admitted(checks: Sequence[CallInterceptor], call: Call, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for message in requests:
        for interceptor in checks:
            await interceptor.admit(call, message)
        yield message


class CheckedContext:
    """The context that a handler of streamed requests sees: reading from it passes the same checks."""

    def __init__(self, checks: Sequence[CallInterceptor], call: Call) -> None:
        self._checks = checks
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call.context, name)

    async def read(self) -> Any:
        """Return the next request, or grpc.aio.EOF."""
        message = await self._call.context.read()
        if message is not grpc.aio.EOF:
            for interceptor in self._checks:
                await interceptor.admit(self._call, message)
        return message


async def close(stream: Any) -> None:
    """Close an asynchronous generator; other iterators have nothing to close."""
    if hasattr(stream, "aclose"):
        await stream.aclose()


def handler_function(handler: Any) -> Any:
    """Return the function behind a method handler."""
    return handler.stream_stream or handler.stream_unary or handler.unary_stream or handler.unary_unary


def method_of(full_name: str, handler: Any) -> Method:
    """Return the description of a method."""
    service, _, name = full_name.lstrip("/").rpartition("/")
    kind = {
        (False, False): "unary",
        (False, True): "server_stream",
        (True, False): "client_stream",
        (True, True): "bidi_stream",
    }[handler.request_streaming, handler.response_streaming]
    return Method(full_name, service, name, kind, handler.request_streaming, handler.response_streaming)
