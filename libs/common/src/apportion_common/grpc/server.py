"""The server that every service runs: TLS, interceptors, health, reflection, limits.

Interceptors, outermost first: OpenTelemetry → metrics and access log → errors → deadline → auth → admission → flags
→ validation → pages. All but the last three are done with a call when its headers are here. Health and reflection pass
through errors, deadline (reflection only) and an admission of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from opentelemetry import trace
from opentelemetry.instrumentation.grpc import aio_server_interceptor

from apportion_common.flags import Flags, FlagTable
from apportion_common.grpc import limits
from apportion_common.grpc.auth import TokenVerifier
from apportion_common.grpc.connections import ConnectionGuard, connections_max
from apportion_common.grpc.health import Health
from apportion_common.grpc.interceptors.admission import AdmissionInterceptor, HealthAdmissionInterceptor
from apportion_common.grpc.interceptors.auth import AuthInterceptor
from apportion_common.grpc.interceptors.base import HEALTH_PREFIX, CallChain, CallInterceptor, is_infrastructure
from apportion_common.grpc.interceptors.deadline import DeadlineInterceptor
from apportion_common.grpc.interceptors.errors import ErrorsInterceptor
from apportion_common.grpc.interceptors.flags import FlagsInterceptor
from apportion_common.grpc.interceptors.metrics_log import MetricsLogInterceptor
from apportion_common.grpc.interceptors.pages import PagesInterceptor
from apportion_common.grpc.interceptors.validation import ValidationInterceptor, compile_rules
from apportion_common.grpc.policy import ContractError, policies_of
from apportion_common.logs import get_logger
from apportion_common.tasks import cancel_and_wait

log = get_logger(__name__)

Registration = Callable[[grpc.aio.Server], None]


class ServerSettings(Protocol):
    """What a server needs of the settings."""

    @property
    def grpc_listen(self) -> str: ...
    @property
    def tls_cert_file(self) -> Path: ...
    @property
    def tls_key_file(self) -> Path: ...
    @property
    def shutdown_grace_s(self) -> int: ...


class RunningServer:
    """A server that listens. It is alive at once and ready when told so."""

    def __init__(
        self, server: grpc.aio.Server, health: Health, port: int, grace_s: int, watching: asyncio.Task[None]
    ) -> None:
        """Hold what `start_server` made."""
        self._watching = watching
        self._server = server
        self._health = health
        self._grace_s = grace_s
        self.port = port

    @property
    def is_ready(self) -> bool:
        """Whether health says that calls are welcome."""
        return self._health.is_ready

    async def set_ready(self, ready: bool) -> None:
        """Say whether calls are welcome; calls that come nevertheless are served."""
        if ready != self._health.is_ready:
            log.info("readiness", ready=ready)
        self._health.set_ready(ready)

    async def stop(self, grace_s: float | None = None) -> None:
        """Stop for good: not ready, no new calls; those in progress have the grace (the setting's) to end."""
        self._health.close()
        try:
            await self._server.stop(self._grace_s if grace_s is None else grace_s)
        finally:
            await cancel_and_wait(self._watching)

    async def wait_for_termination(self) -> None:
        """Return when the server has stopped."""
        await self._server.wait_for_termination()


class _Recorder:
    """Stands in for the server while services register: which ones do is checked before there is a server."""

    def __init__(self) -> None:
        self.registered: set[str] = set()
        self._steps: list[Callable[[Any], None]] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        self.registered.update(handler.service_name() for handler in handlers)
        self._steps.append(lambda server: server.add_generic_rpc_handlers(handlers))

    def add_registered_method_handlers(self, service_name: str, handlers: Any) -> None:
        self.registered.add(service_name)
        self._steps.append(lambda server: server.add_registered_method_handlers(service_name, handlers))

    def apply(self, server: grpc.aio.Server) -> None:
        for step in self._steps:
            step(server)


async def start_server(
    settings: ServerSettings,
    registrations: Sequence[Registration],
    service_names: Sequence[str],
    *,
    verifier: TokenVerifier,
    tracer_provider: trace.TracerProvider | None = None,
    gates: Sequence[tuple[Flags, FlagTable]] = (),
) -> RunningServer:
    """Start a server for those services, alive and not ready yet.

    Each registration adds one servicer, such as `lambda server: add_XServicer_to_server(servicer, server)`, and
    `service_names` are their full names; `gates` refuse what stands behind a closed flag. Raises ContractError for an
    RPC that does not say who may call it, rules that do not compile and services registered without being named or
    named without being registered, FlagError for a gate that does not name each RPC of its service once, OSError for
    certificates that cannot be read and RuntimeError for an address that is taken.
    """
    policies = policies_of(service_names)
    compile_rules(service_names)
    for _, table in gates:
        table.check(name for name in policies if name.startswith(f"/{table.service_name}/"))
    recorder = _Recorder()
    for register in registrations:
        register(cast(grpc.aio.Server, recorder))
    if recorder.registered != set(service_names):
        odd = ", ".join(sorted(recorder.registered ^ set(service_names)))
        raise ContractError(f"Services are registered without being named, or named without being registered: {odd}.")
    credentials = server_credentials(settings)
    health = Health(service_names)
    places = connections_max()
    guard = ConnectionGuard(places)
    errors, deadline, of_health = ErrorsInterceptor(), DeadlineInterceptor(), HealthAdmissionInterceptor()
    of_calls = (
        MetricsLogInterceptor(),
        errors,
        deadline,
        AuthInterceptor(policies, verifier),
        AdmissionInterceptor(guard),
        *(FlagsInterceptor(flags, table) for flags, table in gates),
        ValidationInterceptor(),
        PagesInterceptor(service_names),
    )

    def interceptors_of(method: str) -> Sequence[CallInterceptor]:
        if method.startswith(HEALTH_PREFIX):
            return (errors, of_health)
        return (errors, deadline, of_health) if is_infrastructure(method) else of_calls

    server = grpc.aio.server(
        interceptors=[
            aio_server_interceptor(tracer_provider=tracer_provider, filter_=_is_traced),  # type: ignore[no-untyped-call]
            CallChain(interceptors_of),
        ],
        options=[*server_options(), ("grpc.max_allowed_incoming_connections", places)],
    )
    recorder.apply(server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    reflected = (*service_names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(reflected, server)
    port = server.add_secure_port(settings.grpc_listen, credentials)
    await server.start()
    log.info("grpc_listening", address=settings.grpc_listen, port=port, services=list(service_names))
    watching = asyncio.create_task(guard.watch(port), name="connections")
    return RunningServer(server, health, port, settings.shutdown_grace_s, watching)


def _is_traced(call: grpc.HandlerCallDetails) -> bool:
    return not is_infrastructure(call.method)


def server_credentials(settings: ServerSettings) -> grpc.ServerCredentials:
    """Return TLS with the certificate and key of the settings."""
    key, certificate = settings.tls_key_file.read_bytes(), settings.tls_cert_file.read_bytes()
    return grpc.ssl_server_credentials([(key, certificate)])


def server_options() -> list[tuple[str, int]]:
    """Return grpc's own options: sizes, pings and ages."""
    return [
        ("grpc.max_receive_message_length", limits.RECEIVE_BYTES_MAX),
        ("grpc.max_send_message_length", limits.SEND_BYTES_MAX),
        ("grpc.max_metadata_size", limits.METADATA_BYTES_MAX),
        ("grpc.keepalive_time_ms", limits.KEEPALIVE_TIME_MS),
        ("grpc.keepalive_timeout_ms", limits.KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.min_ping_interval_without_data_ms", limits.PING_INTERVAL_MS_MIN),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_connection_age_ms", limits.CONNECTION_AGE_MS_MAX),
        ("grpc.max_connection_age_grace_ms", limits.CONNECTION_AGE_GRACE_MS_MAX),
        ("grpc.max_connection_idle_ms", limits.CONNECTION_IDLE_MS_MAX),
        ("grpc.max_concurrent_streams", limits.CONNECTION_STREAMS_MAX),
        ("grpc.server_handshake_timeout_ms", limits.HANDSHAKE_TIMEOUT_MS),
        ("grpc.http2.settings_timeout", limits.HANDSHAKE_TIMEOUT_MS),
        ("grpc.server.max_pending_requests", limits.PENDING_CALLS_MAX),
        ("grpc.server.max_pending_requests_hard_limit", 2 * limits.PENDING_CALLS_MAX),
        ("grpc.so_reuseport", 0),
    ]
