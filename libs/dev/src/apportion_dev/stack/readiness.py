"""Whether a service answers as ready, asked the way any client would: gRPC health over verified TLS."""

from __future__ import annotations

from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

READINESS_SERVICE = "readiness"
CHECK_TIMEOUT_S = 2


def is_ready(address: str, ca_file: Path) -> bool:
    """Ask a server once; anything but a clear SERVING is no."""
    credentials = grpc.ssl_channel_credentials(ca_file.read_bytes())
    # A proxy named in the environment has no business on the loopback.
    with grpc.secure_channel(address, credentials, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=READINESS_SERVICE), timeout=CHECK_TIMEOUT_S
            )
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
