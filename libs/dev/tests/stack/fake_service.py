"""A service as the stack sees one: gRPC health over TLS, JSON logs, and an end at SIGTERM.

`python fake_service.py SERVICE` reads the same environment as a real service. FAKE_EXIT_CODE makes it end at once,
FAKE_DUMP names a file that its environment is written to.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


def say(**entry: object) -> None:
    """Write one JSON log line."""
    print(json.dumps({"timestamp": "2026-01-31T10:00:00.123456Z", "level": "info", **entry}), flush=True)


def main() -> None:
    """Serve until SIGTERM."""
    if "FAKE_EXIT_CODE" in os.environ:
        say(event="giving_up", reason="told so")
        sys.exit(int(os.environ["FAKE_EXIT_CODE"]))
    # Blocked before any thread starts, so that only sigwait below takes it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    servicer = health.HealthServicer()
    servicer.set("readiness", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    key, certificate = (Path(os.environ[name]).read_bytes() for name in ("TLS_KEY_FILE", "TLS_CERT_FILE"))
    server.add_secure_port(os.environ["GRPC_LISTEN"], grpc.ssl_server_credentials([(key, certificate)]))
    server.start()
    if "FAKE_DUMP" in os.environ:
        Path(os.environ["FAKE_DUMP"]).write_text(json.dumps(dict(os.environ)), encoding="utf-8")
    say(event="serving", address=os.environ["GRPC_LISTEN"], service=sys.argv[1])
    signal.sigwait({signal.SIGTERM})
    server.stop(1).wait()
    say(event="stopped")


if __name__ == "__main__":
    main()
