"""Connections to the five services, and one way to show an error."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import grpc
import typer
from apportion.identity.v1 import identity_service_pb2_grpc
from apportion.ledger.v1 import ledger_service_pb2_grpc
from apportion.metering.v1 import metering_service_pb2_grpc
from apportion.orgs.v1 import orgs_service_pb2_grpc
from apportion.pricing.v1 import pricing_service_pb2_grpc
from apportion_common.backoff import Backoff
from apportion_common.grpc.client import Channels
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from rich.console import Console

from apportion_cli.stack.layout import ClientSettings, StackNotUpError, client_settings

T = TypeVar("T")

CALL_TIMEOUT_S = 60.0
"""Deadline of one call; intake has its own."""
RETRY_FIRST_S = 0.2
RETRY_LAST_S = 5.0
"""Longest pause between attempts at a service that cannot be reached."""

errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


@dataclass(frozen=True)
class _ChannelSettings:
    tls_ca_file: Path
    service_token_file: Path


class Services:
    """The stubs of the five services."""

    def __init__(self, settings: ClientSettings, channels: Channels) -> None:
        self.settings = settings
        self.channels = channels
        self.identity = identity_service_pb2_grpc.IdentityServiceStub(self.channel("identity"))
        self.pricing = pricing_service_pb2_grpc.PricingServiceStub(self.channel("pricing"))
        self.metering = metering_service_pb2_grpc.MeteringServiceStub(self.channel("metering"))
        self.ledger = ledger_service_pb2_grpc.LedgerServiceStub(self.channel("ledger"))
        self.orgs = orgs_service_pb2_grpc.OrgsServiceStub(self.channel("orgs"))

    def channel(self, service: str) -> grpc.aio.Channel:
        """The channel to a service by its short name."""
        return self.channels.channel(self.settings.addresses[service])


@asynccontextmanager
async def connected() -> AsyncIterator[Services]:
    """Stubs of the running stack, or of the addresses that the environment names."""
    settings = client_settings()
    channels = Channels(_ChannelSettings(settings.ca_file, settings.token_file))
    try:
        yield Services(settings, channels)
    finally:
        await channels.close()


def run(main: Callable[[Services], Coroutine[Any, Any, T]]) -> T:
    """Run a command against the services; an error ends it with one clear message and exit code 1."""

    async def whole() -> T:
        async with connected() as services:
            return await main(services)

    try:
        return asyncio.run(whole())
    except StackNotUpError as error:
        fail(str(error))
    except grpc.aio.AioRpcError as error:
        fail(describe(error))
    except OSError as error:
        fail(f"{error.filename or 'A file'} cannot be read or written: {error.strerror}.")


def fail(message: str) -> NoReturn:
    """Say what is wrong and end with exit code 1."""
    errors.print(message, style="red")
    raise typer.Exit(1)


def read_file(file: Path) -> bytes:
    """What a file of the user's holds; one that cannot be read ends the command with exit code 1."""
    try:
        return file.read_bytes()
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}.")


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The stable reason of a refused call, or an empty text."""
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def describe(error: grpc.aio.AioRpcError) -> str:
    """A refused call in words: status, reason, message, and what is wrong with which field."""
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
    """A time to wait as people say it: seconds up to two minutes, then minutes and hours, rounded up."""
    if length <= timedelta(minutes=2):
        return f"{length.total_seconds():g} s"
    hours, minutes = divmod(math.ceil(length / timedelta(minutes=1)), 60)
    return " ".join([*([f"{hours} h"] if hours else []), *([f"{minutes} min"] if minutes else [])])


async def patiently(call: Callable[[], Awaitable[T]], waiting: Callable[[str], None]) -> T:
    """Repeat a call that may be sent again for as long as its service cannot be reached; say so through `waiting`."""
    backoff = Backoff(RETRY_FIRST_S, RETRY_LAST_S)
    failures = 0
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise
            waiting(describe(error).splitlines()[0])
        failures += 1
        await backoff.wait(failures)
