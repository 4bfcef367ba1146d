"""What all interceptors share: one shape for unary and streamed calls, and no way round the checks per message."""

from __future__ import annotations

import inspect
from abc import ABC
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import grpc

INFRASTRUCTURE_PREFIXES: Final = ("/grpc.health.v1.Health/", "/grpc.reflection.")
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


class CallInterceptor(grpc.aio.ServerInterceptor, ABC):
    """An interceptor that works around a call and on each of its request messages.

    Handlers may be coroutines, plain functions (generated ones that say UNIMPLEMENTED) or, for streamed answers,
    asynchronous generators. Writing with `context.write` is not supported.
    """

    def __init__(self) -> None:
        self._wrapped: dict[str, tuple[Any, Any]] = {}

    def around(self, call: Call) -> AbstractAsyncContextManager[None]:
        """Surround the whole call."""
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

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Wrap the handler, once for as long as the inner one stays the same."""
        handler = await continuation(handler_call_details)
        name = handler_call_details.method
        if handler is None or is_infrastructure(name):
            return handler
        known = self._wrapped.get(name)
        if known is None or known[0] is not handler:
            known = (handler, self._wrap(handler, method_of(name, handler)))
            self._wrapped[name] = known
        return known[1]

    def deserializer(self, handler: Any) -> Any:
        """Return what turns bytes into a request; the handler's own by default."""
        return handler.request_deserializer

    def _wrap(self, handler: Any, method: Method) -> Any:
        behaviour = handler_function(handler)
        checks = self.looks_at_messages()

        async def prepare(call: Call, request: Any) -> tuple[Any, Any]:
            if not checks:
                return request, call.context
            if method.request_streaming:
                return self._admitted(call, request), CheckedContext(self, call)
            await self.admit(call, request)
            return request, call.context

        async def unary(request: Any, context: Any) -> Any:
            call = Call(method, context)

            async def work() -> Any:
                answer = behaviour(*await prepare(call, request))
                return await answer if inspect.isawaitable(answer) else answer

            return await self.unary(call, work)

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            call = Call(method, context)

            async def answers() -> AsyncIterator[Any]:
                inner = behaviour(*await prepare(call, request))
                try:
                    async for answer in inner:
                        yield answer
                finally:
                    await close(inner)

            outer = self.stream(call, answers)
            try:
                async for answer in outer:
                    yield answer
            finally:
                await close(outer)

        make: Any = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[method.request_streaming, method.response_streaming]
        return make(
            stream if method.response_streaming else unary,
            request_deserializer=self.deserializer(handler),
            response_serializer=handler.response_serializer,
        )

    async def _admitted(self, call: Call, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for message in requests:
            await self.admit(call, message)
            yield message


class CheckedContext:
    """The context that a handler of streamed requests sees: reading from it passes the same checks."""

    def __init__(self, interceptor: CallInterceptor, call: Call) -> None:
        self._interceptor = interceptor
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call.context, name)

    async def read(self) -> Any:
        """Return the next request, or grpc.aio.EOF."""
        message = await self._call.context.read()
        if message is not grpc.aio.EOF:
            await self._interceptor.admit(self._call, message)
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
