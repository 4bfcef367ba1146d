"""Channels to the other services: verified TLS, the service's own token, a deadline on every call, one trace.

stub = LedgerServiceStub(channels.channel(settings.address_of("ledger")))
answer = await retrying(stub.FixWatermark, request, timeout_s=5)
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import grpc
from opentelemetry import trace
from opentelemetry.instrumentation.grpc import aio_client_interceptors

from apportion_common.backoff import Backoff
from apportion_common.caller import current_call
from apportion_common.grpc import limits

KEEPALIVE_TIME_MS: Final = 30_000
KEEPALIVE_TIMEOUT_MS: Final = 10_000
RECONNECT_FIRST_PAUSE_MS: Final = 250
RECONNECT_MAX_PAUSE_MS: Final = 2_000
"""Between attempts to reach a service that is away; grpc's own two minutes would hold up the lanes after its return."""
RETRY_FIRST_PAUSE_MS: Final = 50
RETRY_MAX_PAUSE_MS: Final = 2_000
TRY_S_MIN: Final = 0.01
"""A try with less time than this left is not begun."""

M = TypeVar("M")


class ClientSettings(Protocol):
    """What clients need of the settings."""

    @property
    def tls_ca_file(self) -> Path: ...
    @property
    def service_token_file(self) -> Path: ...


class TokenFile:
    """A token in a file that somebody else renews; read again whenever the file changes."""

    def __init__(self, file: Path) -> None:
        """Read nothing yet: the file may come later than the process."""
        self._file = file
        self._stamp: tuple[int, int, int] | None = None
        self._token = ""

    def token(self) -> str:
        """Return the current token. Raises OSError while there has never been one; afterwards the last one stands.

        A file that holds something else counts as one that cannot be read.
        """
        try:
            found = os.stat(self._file)
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._stamp:
                self._token = _token_in(self._file)
                self._stamp = stamp
        except OSError:
            if self._stamp is None:
                raise
        return self._token


def _token_in(file: Path) -> str:
    """Return the token that a file holds. Raises OSError when it cannot be read, or is something that no header may
    carry.
    """
    content = file.read_bytes().strip()
    if not all(ord("!") <= octet <= ord("~") for octet in content):
        # grpc takes no such header and lets the call wait for ever, past its deadline.
        raise OSError(errno.EINVAL, "it holds no token", str(file))
    return content.decode("ascii")


class _Defaults:
    """What every call gets: the token, a deadline, the id of the call that it serves."""

    def __init__(self, token_of: Callable[[], str]) -> None:
        self._token_of = token_of

    def details(self, asked: Any) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(*(asked.metadata or ()))
        if metadata.get("authorization") is None:
            metadata.add("authorization", f"Bearer {self._token_of()}")
        info = current_call()
        if info is not None and metadata.get("x-request-id") is None:
            metadata.add("x-request-id", info.request_id)
        timeout_s = limits.DEFAULT_DEADLINE_S if asked.timeout is None else asked.timeout
        return grpc.aio.ClientCallDetails(
            method=asked.method,
            timeout=timeout_s,
            metadata=metadata,
            credentials=asked.credentials,
            wait_for_ready=asked.wait_for_ready,
        )


# One class per kind of call: grpc files an interceptor under the first kind that it is an instance of.
class _UnaryUnary(_Defaults, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self.details(client_call_details), request)


class _UnaryStream(_Defaults, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self.details(client_call_details), request)


class _StreamUnary(_Defaults, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await continuation(self.details(client_call_details), request_iterator)


class _StreamStream(_Defaults, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await continuation(self.details(client_call_details), request_iterator)


def client_interceptors(
    token_of: Callable[[], str], tracer_provider: trace.TracerProvider | None = None
) -> list[grpc.aio.ClientInterceptor]:
    """Return the interceptors of every channel, outermost first: OpenTelemetry, then token, deadline and request id."""
    ours = [kind(token_of) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]
    traced = aio_client_interceptors(tracer_provider=tracer_provider)  # type: ignore[no-untyped-call]
    return [*traced, *ours]


class Channels:
    """The process's channels, one per address."""

    def __init__(
        self,
        settings: ClientSettings,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        token_of: Callable[[], str] | None = None,
    ) -> None:
        """Trust the authorities of the settings, and show the token of `token_of`, by default the settings' file's.

        Raises OSError when the authorities' file cannot be read.
        """
        self._credentials = grpc.ssl_channel_credentials(settings.tls_ca_file.read_bytes())
        self._token_of = TokenFile(settings.service_token_file).token if token_of is None else token_of
        self._tracer_provider = tracer_provider
        self._channels: dict[str, grpc.aio.Channel] = {}

    def channel(self, address: str) -> grpc.aio.Channel:
        """Return the channel to an address (host:port); it connects on first use and again whenever it must."""
        channel = self._channels.get(address)
        if channel is None:
            channel = grpc.aio.secure_channel(
                address,
                self._credentials,
                options=channel_options(),
                interceptors=client_interceptors(self._token_of, self._tracer_provider),
            )
            self._channels[address] = channel
        return channel

    async def close(self) -> None:
        """Close all channels; calls in progress are cancelled."""
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            await channel.close()


def channel_options() -> list[tuple[str, int]]:
    """Return grpc's own options for clients: sizes and pings. Answers may be as large as servers may send."""
    return [
        ("grpc.max_receive_message_length", limits.SEND_BYTES_MAX),
        ("grpc.max_send_message_length", limits.RECEIVE_BYTES_MAX),
        ("grpc.max_metadata_size", limits.METADATA_BYTES_MAX),
        ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", RECONNECT_FIRST_PAUSE_MS),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_MAX_PAUSE_MS),
    ]


async def retrying(call: Callable[..., Any], request: Any, timeout_s: float) -> Any:
    """Return the answer to a unary call that may be sent again: a read, or a mutation with a request id.

    Tries again after UNAVAILABLE, with growing random pauses, as long as `timeout_s` allows; raises the last
    grpc.aio.AioRpcError then, and any other at once.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    backoff = Backoff(RETRY_FIRST_PAUSE_MS / 1_000, RETRY_MAX_PAUSE_MS / 1_000)
    failures = 0
    while True:
        try:
            return await call(request, timeout=max(deadline - loop.time(), TRY_S_MIN))
        except grpc.aio.AioRpcError as error:
            failures += 1
            pause_s = backoff.delay_s(failures)
            if error.code() is not grpc.StatusCode.UNAVAILABLE or loop.time() + pause_s + TRY_S_MIN >= deadline:
                raise
        await backoff.sleep(pause_s)
