"""The life of a service's process, on a real database and NATS: start, readiness, drain, and a failure's exit code."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from apportion.orgs.v1 import orgs_service_pb2, orgs_service_pb2_grpc
from apportion_common.db.engine import psycopg_url
from apportion_common.db.limits import process_connections_max
from apportion_common.files import write_file
from apportion_common.grpc.status import reason_of
from apportion_dev.local.keys import LocalCa, TokenSigningKey, mint_token, write_jwks
from apportion_dev.testing.databases import ServiceDatabase
from apportion_dev.testing.servers import NatsAccess
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy.engine import make_url

PATIENCE_S = 60


def free_port() -> int:
    """A port that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Toy:
    """A process of run_toy.py, and how to talk to it."""

    def __init__(self, folder: Path, database: ServiceDatabase, nats: NatsAccess) -> None:
        self.owner_url, self.app_url = psycopg_url(database.owner_url), psycopg_url(database.app_url)
        now = datetime.now(UTC)
        ca = LocalCa.create_or_load(folder / "tls", now)
        certificate = ca.issue_server_certificate(["localhost"], now, "toy")
        signing = TokenSigningKey.create_or_load(folder / "signing.key")
        write_jwks(folder / "jwks.json", [signing])
        self.token = mint_token(
            signing.private_key, signing.kid, "https://i", "apportion", "user:ops", ["operator"], now=now, ttl_s=600
        )
        write_file(folder / "token", self.token.encode(), 0o600)
        self.address = f"localhost:{free_port()}"
        self.trace_file = folder / "traces.jsonl"
        self.ca = ca.certificate_file.read_bytes()
        trusted = ca.certificate_file
        if nats.tls_ca_file is not None:
            # One file for both: the toy's own authority and the one of the NATS server.
            trusted = folder / "trusted.pem"
            trusted.write_bytes(self.ca + nats.tls_ca_file.read_bytes())
        self.environment = {
            "PATH": os.environ["PATH"],
            "ENVIRONMENT": "test",
            "ORGS_DATABASE_URL": database.app_url,
            "NATS_URL": nats.nats_url,
            "NATS_USER": nats.nats_user or "nobody",
            "NATS_PASSWORD": nats.nats_password.get_secret_value() if nats.nats_password else "nothing",
            "GRPC_LISTEN": self.address,
            "METRICS_LISTEN": f"127.0.0.1:{free_port()}",
            "TLS_CERT_FILE": str(certificate.certificate_file),
            "TLS_KEY_FILE": str(certificate.key_file),
            "TLS_CA_FILE": str(trusted),
            "JWKS_FILE": str(folder / "jwks.json"),
            "TOKEN_ISSUER": "https://i",
            "TOKEN_AUDIENCE": "apportion",
            "SERVICE_TOKEN_FILE": str(folder / "token"),
            "TRACE_FILE": str(self.trace_file),
        }

    @asynccontextmanager
    async def running(self, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("run_toy.py")),
            env=self.environment | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def channel(self) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(self.address, grpc.ssl_channel_credentials(self.ca))

    async def ready(self, channel: grpc.aio.Channel, status: str = "SERVING") -> None:
        """Wait until the server says that it is ready, or what else it is to say."""
        stub: Any = health_pb2_grpc.HealthStub(channel)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                request = health_pb2.HealthCheckRequest(service="readiness")
                answer = await stub.Check(request, wait_for_ready=True, timeout=PATIENCE_S)
                if health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status) == status:
                    return
                await asyncio.sleep(0.02)

    def take_writes(self, yes: bool) -> None:
        """Let the database take writes or not, and end the sessions that were begun before."""
        name, value = make_url(self.app_url).database, "off" if yes else "on"
        always = "-c default_transaction_read_only=off"
        with psycopg.connect(self.owner_url, options=always, autocommit=True) as owner:
            owner.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}".encode())
        with psycopg.connect(self.app_url, autocommit=True) as app:
            app.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE 'orgs/%'"
            )

    async def http(self, path: str) -> str:
        host, port = self.environment["METRICS_LISTEN"].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        answer = (await reader.read()).decode()
        writer.close()
        return answer


@pytest.fixture
def toy(tmp_path: Path, blank_database: Callable[..., Any], nats_access: NatsAccess) -> Toy:
    return Toy(tmp_path, blank_database(), nats_access)


async def output(process: asyncio.subprocess.Process) -> tuple[str, str]:
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return out.decode(), err.decode()


async def test_at_sigterm_a_call_ends_then_the_work_then_everything_else(toy: Toy) -> None:
    async with toy.running(TOY_CALL_S="1") as process, toy.channel() as channel:
        await toy.ready(channel)
        assert "200 OK" in await toy.http("/readyz")
        stub: Any = orgs_service_pb2_grpc.OrgsServiceStub(channel)
        metadata = (("authorization", f"Bearer {toy.token}"),)
        call = asyncio.ensure_future(
            _answer(stub.CheckHierarchy(orgs_service_pb2.CheckHierarchyRequest(), metadata=metadata))
        )
        await _until(process, "call begun")
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert isinstance(await call, orgs_service_pb2.CheckHierarchyResponse)
        out, err = await output(process)
    assert (process.returncode, err) == (0, "")
    events = [json.loads(line)["event"] if line.startswith("{") else line for line in out.splitlines()]
    order = ["rpc", "calls_ended", "work ended", "background_ended", "nats_drained", "database_closed", "stopped"]
    assert [event for event in events if event in order] == order
    spans = [json.loads(line) for line in toy.trace_file.read_text().splitlines()]
    served = next(span for span in spans if span["name"].endswith("/CheckHierarchy"))
    assert served["service"] == "orgs"
    queries = [span for span in spans if span["parent_span_id"] == served["span_id"]]
    assert queries
    assert all(span["trace_id"] == served["trace_id"] for span in spans)


async def _answer(call: Any) -> Any:
    return await call


async def _until(process: asyncio.subprocess.Process, text: str) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        while text not in (await process.stdout.readline()).decode():
            assert process.returncode is None


async def test_a_background_task_that_fails_ends_the_process_with_one(toy: Toy) -> None:
    async with toy.running(TOY_FAILS="yes") as process:
        out, _ = await output(process)
    assert process.returncode == 1
    failed = next(json.loads(line) for line in out.splitlines() if '"failed"' in line and '"event"' in line)
    assert "background task work" in failed["what"]
    assert "the toy breaks" in failed["exception"]


async def test_a_service_without_its_database_is_alive_and_not_ready(toy: Toy) -> None:
    toy.environment["ORGS_DATABASE_URL"] = f"postgresql://nobody:nothing@127.0.0.1:{free_port()}/none"
    async with toy.running() as process, toy.channel() as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        alive = await stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=PATIENCE_S)
        ready = await stub.Check(health_pb2.HealthCheckRequest(service="readiness"))
        assert alive.status == health_pb2.HealthCheckResponse.SERVING
        assert ready.status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert "200 OK" in await toy.http("/livez")
        assert "503" in await toy.http("/readyz")
        process.send_signal(signal.SIGTERM)
        await output(process)
    assert process.returncode == 0


async def test_a_service_whose_database_takes_no_writes_is_not_ready_until_it_does(toy: Toy) -> None:
    async with toy.running() as process, toy.channel() as channel:
        await toy.ready(channel)
        metrics = await toy.http("/metrics")
        for pool, size in (("calls", 8), ("work", 6), ("readiness", 1)):
            assert f'db_client_connection_max{{pool="orgs-{pool}"}} {size}.0' in metrics
        for writable, status in ((False, "NOT_SERVING"), (True, "SERVING")):
            toy.take_writes(writable)
            await toy.ready(channel, status)
        process.send_signal(signal.SIGTERM)
        await output(process)
    assert process.returncode == 0


async def test_slow_reads_take_no_connection_from_background_work_and_readiness(toy: Toy) -> None:
    busy = {"TOY_QUERY": "SELECT pg_sleep(9)", "TOY_WRITES": "yes", "LOG_LEVEL": "ERROR"}
    async with toy.running(**busy) as process, toy.channel() as channel:
        await toy.ready(channel)
        stub: Any = orgs_service_pb2_grpc.OrgsServiceStub(channel)
        metadata = (("authorization", f"Bearer {toy.token}"),)

        async def read() -> str:
            try:
                await stub.CheckHierarchy(
                    orgs_service_pb2.CheckHierarchyRequest(), metadata=metadata, timeout=PATIENCE_S
                )
            except grpc.aio.AioRpcError as error:
                return f"{error.code().name} {reason_of(error)}"
            return "OK"

        reads = [asyncio.ensure_future(read()) for _ in range(2 * process_connections_max())]
        looks = []
        while not all(call.done() for call in reads):
            await _until(process, "work goes on")
            looks.append("200 OK" in await toy.http("/readyz"))
        assert looks
        assert all(looks), "It was not ready while it was busy."
        assert {await call for call in reads} == {"OK", "UNAVAILABLE DATABASE_BUSY"}


async def test_a_start_that_fails_ends_the_process_with_one_and_says_why(toy: Toy) -> None:
    write_file(Path(toy.environment["JWKS_FILE"]), b"{}", 0o600)
    async with toy.running() as process:
        out, _ = await output(process)
    assert process.returncode == 1
    assert "is not a JSON Web Key Set" in out


async def test_sigterm_while_nats_is_awaited_ends_the_process_in_peace(toy: Toy) -> None:
    toy.environment["NATS_URL"] = f"nats://127.0.0.1:{free_port()}"
    async with toy.running() as process:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    assert "200 OK" in await toy.http("/livez")
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        await output(process)
    assert process.returncode == 0


async def test_an_armed_fail_point_kills_the_running_process(toy: Toy) -> None:
    async with toy.running(FAIL_POINT="toy.working:5") as process:
        _, err = await output(process)
    assert process.returncode == -signal.SIGKILL
    assert json.loads(err.splitlines()[-1])["fail_point"] == "toy.working"
