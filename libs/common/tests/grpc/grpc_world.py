"""A server with its keys, certificates and tokens, and contracts of a toy service, for the tests beside this file."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from apportion.options.v1 import options_pb2
from apportion_common.files import write_file
from apportion_common.grpc.auth import TokenVerifier
from apportion_common.grpc.server import RunningServer, start_server
from apportion_dev.local.keys import LocalCa, TokenSigningKey, mint_token, write_jwks
from apportion_dev.testing.clocks import FixedClock
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ISSUER = "https://identity.test"
AUDIENCE = "apportion"
ORG = "0190b5f2-0000-7000-8000-000000000001"
OTHER_ORG = "0190b5f2-0000-7000-8000-000000000002"


@dataclass
class Settings:
    """What server and client need."""

    grpc_listen: str
    tls_cert_file: Path
    tls_key_file: Path
    tls_ca_file: Path
    service_token_file: Path
    shutdown_grace_s: int = 5


class World:
    """Keys, certificates and tokens in a folder; the clock of tokens stands at NOW."""

    def __init__(self, folder: Path) -> None:
        self.clock = FixedClock(NOW)
        real_now = datetime.now(UTC)  # TLS asks the machine's clock.
        ca = LocalCa.create_or_load(folder / "tls", real_now)
        certificate = ca.issue_server_certificate(["localhost", "127.0.0.1"], real_now, "server")
        self.signing = TokenSigningKey.create_or_load(folder / "signing.key")
        self.jwks_file = folder / "jwks.json"
        write_jwks(self.jwks_file, [self.signing])
        self.settings = Settings(
            "127.0.0.1:0",
            certificate.certificate_file,
            certificate.key_file,
            ca.certificate_file,
            folder / "service.jwt",
        )
        self.write_service_token(self.token("service"))
        self.exporter = InMemorySpanExporter()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def write_service_token(self, token: str) -> None:
        write_file(self.settings.service_token_file, token.encode(), 0o600)

    def token(self, *roles: str, org_id: str | None = None, ttl_s: int = 600, **changes: Any) -> str:
        """A token of the test's issuer; `changes` replace arguments of mint_token."""
        arguments: dict[str, Any] = {
            "signing_key": self.signing.private_key,
            "kid": self.signing.kid,
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "sub": "user:ada",
            "roles": roles,
            "now": self.clock.now(),
            "ttl_s": ttl_s,
            "org_id": org_id,
        }
        return mint_token(**(arguments | changes))

    def verifier(self) -> TokenVerifier:
        return TokenVerifier(self.jwks_file, ISSUER, AUDIENCE, self.clock)

    def spans(self, name: str) -> list[Any]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    @asynccontextmanager
    async def serving(
        self, registrations: Sequence[Callable[[grpc.aio.Server], None]], names: Sequence[str]
    ) -> AsyncIterator[Served]:
        running = await start_server(
            self.settings, registrations, names, verifier=self.verifier(), tracer_provider=self.tracer_provider
        )
        credentials = grpc.ssl_channel_credentials(self.settings.tls_ca_file.read_bytes())
        try:
            async with grpc.aio.secure_channel(f"localhost:{running.port}", credentials) as channel:
                yield Served(running, channel)
        finally:
            await running.stop(0)


@dataclass
class Served:
    running: RunningServer
    channel: grpc.aio.Channel

    @property
    def address(self) -> str:
        return f"localhost:{self.running.port}"


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


@dataclass
class Refusal:
    """What a client sees of a refused call."""

    code: grpc.StatusCode
    details: str
    reason: str
    domain: str
    metadata: dict[str, str]
    violations: list[tuple[str, str]]
    retry_s: int | None


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    has_retry = False
    status = rpc_status.from_call(_Sync(error))
    for detail in status.details if status is not None else ():
        detail.Unpack(info)
        detail.Unpack(bad)
        has_retry = detail.Unpack(retry) or has_retry
    return Refusal(
        error.code(),
        error.details() or "",
        info.reason,
        info.domain,
        dict(info.metadata),
        [(violation.field, violation.description) for violation in bad.field_violations],
        retry.retry_delay.seconds if has_retry else None,
    )


class _Sync:
    """The error as rpc_status wants a call to look."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code, self.details, self.trailing_metadata = error.code, error.details, error.trailing_metadata


async def refused(call: Any) -> Refusal:
    """Await a call, unary or streamed, that must be refused."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return refusal_of(error)
    raise AssertionError("The call was not refused.")


def log_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in io.StringIO(text) if line.startswith("{")]


# A contract made by hand: RPCs that the product does not have (yet), such as streams for organisations.
TOY = "apportion.toy.v1.ToyService"


def _toy_file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="apportion/toy/v1/toy.proto",
        package="apportion.toy.v1",
        syntax="proto3",
        dependency=["apportion/options/v1/options.proto"],
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    inner = file.message_type.add(name="Inner")
    inner.field.add(name="org_id", number=1, type=kinds.TYPE_BYTES, label=kinds.LABEL_OPTIONAL)
    message = file.message_type.add(name="Toy")
    message.field.add(name="org_id", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    message.field.add(
        name="inners",
        number=2,
        type=kinds.TYPE_MESSAGE,
        type_name=".apportion.toy.v1.Inner",
        label=kinds.LABEL_REPEATED,
    )
    message.field.add(name="count", number=3, type=kinds.TYPE_INT32, label=kinds.LABEL_OPTIONAL)

    def service(name: str) -> descriptor_pb2.ServiceDescriptorProto:
        return file.service.add(name=name)

    def rpc(
        parent: descriptor_pb2.ServiceDescriptorProto,
        name: str,
        level: int,
        paths: Sequence[str] = (),
        *,
        requests: bool = False,
        answers: bool = False,
    ) -> None:
        method = parent.method.add(
            name=name,
            input_type=".apportion.toy.v1.Toy",
            output_type=".apportion.toy.v1.Toy",
            client_streaming=requests,
            server_streaming=answers,
        )
        if level:
            method.options.Extensions[options_pb2.auth_level] = level
        method.options.Extensions[options_pb2.org_field].extend(paths)

    toy = service("ToyService")
    org = options_pb2.AUTH_LEVEL_ORG_USER
    rpc(toy, "Public", options_pb2.AUTH_LEVEL_PUBLIC)
    rpc(toy, "Anyone", options_pb2.AUTH_LEVEL_AUTHENTICATED)
    rpc(toy, "Unary", org, ["org_id"])
    rpc(toy, "Inners", org, ["inners.org_id"])
    rpc(toy, "ForAdmins", options_pb2.AUTH_LEVEL_ORG_ADMIN, ["org_id"])
    rpc(toy, "ForOwners", options_pb2.AUTH_LEVEL_ORG_OWNER, ["org_id"])
    rpc(toy, "ForFinance", options_pb2.AUTH_LEVEL_FINANCE)
    rpc(toy, "ForOperators", options_pb2.AUTH_LEVEL_OPERATOR)
    rpc(toy, "ForServices", options_pb2.AUTH_LEVEL_SERVICE)
    rpc(toy, "Answers", org, ["org_id"], answers=True)
    rpc(toy, "Requests", org, ["org_id"], requests=True)
    rpc(toy, "Reads", org, ["org_id"], requests=True)
    rpc(toy, "Both", org, ["org_id"], requests=True, answers=True)
    rpc(service("NoLevelService"), "Forgotten", 0)
    rpc(service("NoFieldService"), "Forgotten", org)
    rpc(service("WrongFieldService"), "Wrong", org, ["inners.nothing"])
    rpc(service("NumberFieldService"), "Wrong", org, ["count"])
    return file


descriptor_pool.Default().Add(_toy_file())  # type: ignore[no-untyped-call]
_pool = descriptor_pool.Default()
Toy: Any = message_factory.GetMessageClass(_pool.FindMessageTypeByName("apportion.toy.v1.Toy"))
Inner: Any = message_factory.GetMessageClass(_pool.FindMessageTypeByName("apportion.toy.v1.Inner"))


def toy_registration(**handlers: Any) -> Callable[[grpc.aio.Server], None]:
    """Registers those functions as the toy service's RPCs, by name."""
    service = _pool.FindServiceByName(TOY)
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    methods = {
        method.name: make[method.client_streaming, method.server_streaming](
            handlers[method.name], request_deserializer=Toy.FromString, response_serializer=Toy.SerializeToString
        )
        for method in service.methods
        if method.name in handlers
    }
    handler = grpc.method_handlers_generic_handler(TOY, methods)

    def register(server: grpc.aio.Server) -> None:
        server.add_generic_rpc_handlers((handler,))

    return register


def toy_call(channel: grpc.aio.Channel, name: str) -> Any:
    """The client side of one of the toy service's RPCs."""
    method = next(m for m in _pool.FindServiceByName(TOY).methods if m.name == name)
    make = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
        (True, True): channel.stream_stream,
    }[method.client_streaming, method.server_streaming]
    return make(f"/{TOY}/{name}", request_serializer=Toy.SerializeToString, response_deserializer=Toy.FromString)
