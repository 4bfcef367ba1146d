"""Health: "" is liveness, SERVING from the start; "readiness" and each service say whether calls are welcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

LIVENESS: Final = ""
READINESS: Final = "readiness"

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """The health service. Watchers are told of every change, and sent away at shutdown, which they would hold up."""

    def __init__(self, service_names: Sequence[str]) -> None:
        """Alive, and not ready yet."""
        self._status = {LIVENESS: _SERVING, READINESS: _NOT_SERVING} | dict.fromkeys(service_names, _NOT_SERVING)
        self._changed = asyncio.Event()
        self._closing = False

    @property
    def is_ready(self) -> bool:
        """Whether calls are welcome."""
        return bool(self._status[READINESS] == _SERVING)

    def set_ready(self, ready: bool) -> None:
        """Flip readiness and all services; liveness stays."""
        status = _SERVING if ready and not self._closing else _NOT_SERVING
        for name in self._status:
            if name != LIVENESS:
                self._status[name] = status
        self._tell()

    def close(self) -> None:
        """Say not ready for good; watchers get the news and the end of their stream."""
        self._closing = True
        self.set_ready(False)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Return the status of one name; NOT_FOUND for an unknown one."""
        status = self._status.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such service here.")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """Yield the status of one name, now and at every change; SERVICE_UNKNOWN for an unknown one."""
        told: Any = None
        while True:
            changed = self._changed
            status = self._status.get(request.service, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
            if status != told:
                yield health_pb2.HealthCheckResponse(status=status)
                told = status
                # It may have changed while that was sent: the end comes after the last news.
                continue
            if self._closing:
                return
            await changed.wait()


async def says_ready(channel: grpc.aio.Channel, timeout_s: float) -> bool:
    """Ask a server whether calls are welcome. Raises grpc.RpcError when it does not answer in time."""
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=READINESS), timeout=timeout_s)
    return bool(answer.status == _SERVING)
