"""`python -m apportion_identity serve` as others meet it: over TLS, with tokens, until it is told to end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import psycopg
import pytest
import pytest_asyncio
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from apportion_common.clock import SystemClock
from apportion_common.files import write_file
from apportion_common.flags import all_open
from apportion_dev.local.keys import LocalCa, TokenSigningKey, mint_token, write_jwks
from apportion_dev.local.ports import reserve_port
from apportion_dev.testing.databases import ServiceDatabase
from apportion_dev.testing.plugin import MakeServiceDatabase
from apportion_dev.testing.servers import NatsAccess

ISSUER = "https://identity.test"
AUDIENCE = "apportion"
START_TIMEOUT_S = 120
CALL_TIMEOUT_S = 60


@dataclass
class Served:
    """A running identity, a channel to it, and its keys."""

    process: asyncio.subprocess.Process
    channel: grpc.aio.Channel
    database: ServiceDatabase
    signing: TokenSigningKey

    def bearer(self, *roles: str, ttl_s: int = 60) -> tuple[tuple[str, str], ...]:
        token = mint_token(
            self.signing.private_key,
            self.signing.kid,
            ISSUER,
            AUDIENCE,
            "user:ada",
            roles,
            now=SystemClock().now(),
            ttl_s=ttl_s,
            org_id=None if "operator" in roles else str(uuid4()),
        )
        return (("authorization", f"Bearer {token}"),)


@pytest_asyncio.fixture(loop_scope="session")
async def identity(
    service_database: MakeServiceDatabase, nats_access: NatsAccess, streams: None, tmp_path: Path
) -> AsyncIterator[Served]:
    database = service_database("identity")
    now = SystemClock().now()
    ca = LocalCa.create_or_load(tmp_path / "tls", now)
    certificate = ca.issue_server_certificate(["localhost", "127.0.0.1"], now, "identity")
    signing = TokenSigningKey.create_or_load(tmp_path / "signing.key")
    write_jwks(tmp_path / "jwks.json", [signing])
    write_file(tmp_path / "service.jwt", b"none-is-needed.identity-calls-nobody", 0o600)
    write_file(tmp_path / "key-encryption.key", bytes(range(32)), 0o600)
    write_file(tmp_path / "proof.key", bytes(range(32, 64)), 0o600)
    authorities = ca.certificate_file.read_bytes()
    if nats_access.tls_ca_file is not None:
        authorities += nats_access.tls_ca_file.read_bytes()
    write_file(tmp_path / "authorities.pem", authorities, 0o644)
    with reserve_port() as port, reserve_port() as metrics_port:
        environ = {
            **os.environ,
            **all_open(),
            "ENVIRONMENT": "test",
            "IDENTITY_DATABASE_URL": database.app_url,
            "NATS_URL": nats_access.nats_url,
            "NATS_USER": nats_access.nats_user or "none",
            "NATS_PASSWORD": nats_access.nats_password.get_secret_value() if nats_access.nats_password else "none",
            "GRPC_LISTEN": port.address,
            "METRICS_LISTEN": metrics_port.address,
            "TLS_CERT_FILE": str(certificate.certificate_file),
            "TLS_KEY_FILE": str(certificate.key_file),
            "TLS_CA_FILE": str(tmp_path / "authorities.pem"),
            "JWKS_FILE": str(tmp_path / "jwks.json"),
            "TOKEN_ISSUER": ISSUER,
            "TOKEN_AUDIENCE": AUDIENCE,
            "SERVICE_TOKEN_FILE": str(tmp_path / "service.jwt"),
            "KEY_ENCRYPTION_KEY_FILE": str(tmp_path / "key-encryption.key"),
            "PROOF_KEY_FILE": str(tmp_path / "proof.key"),
            "CLAIM_MAIL_DOMAIN": "claims.apportion.dev",
            "ORGS_ADDRESS": "localhost:1",
        }
        command = (sys.executable, "-m", "apportion_identity", "serve")
        with (tmp_path / "identity.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(*command, env=environ, stdout=log)
        credentials = grpc.ssl_channel_credentials(ca.certificate_file.read_bytes())
        async with grpc.aio.secure_channel(f"localhost:{port.port}", credentials) as channel:
            try:
                await ready(channel, process, tmp_path / "identity.log")
                yield Served(process, channel, database, signing)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()


async def ready(channel: grpc.aio.Channel, process: asyncio.subprocess.Process, log: Path) -> None:
    """Wait until the process serves; one that ends instead says why at once."""
    serving, ended = asyncio.ensure_future(channel.channel_ready()), asyncio.ensure_future(process.wait())
    await asyncio.wait({serving, ended}, timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
    is_serving = serving.done()
    for waiting in (serving, ended):
        waiting.cancel()
    assert is_serving, (await asyncio.to_thread(log.read_text))[-4_000:]


async def test_identity_serves_keys_of_its_own_and_its_audit_trail_and_drains(identity: Served) -> None:
    stub = IdentityServiceStub(identity.channel)

    answer = await stub.GetJwks(pb.GetJwksRequest(), timeout=CALL_TIMEOUT_S)
    (key,) = json.loads(answer.jwks_json)["keys"]
    assert key["alg"] == "EdDSA"
    assert key["kid"] != identity.signing.kid
    assert "d" not in key

    resource = f"global_setting/{uuid4()}"
    with psycopg.connect(identity.database.app_url) as session:
        session.execute(
            "INSERT INTO audit_entry (audit_id, actor, action, resource) VALUES (%s, 'a', 'global_setting.set', %s)",
            (uuid4(), resource),
        )
    found = await stub.ListAudit(pb.ListAuditRequest(), metadata=identity.bearer("operator"), timeout=CALL_TIMEOUT_S)
    assert [(entry.action, entry.resource) for entry in found.entries] == [
        ("global_setting.set", resource),
        ("signing_key.create", f"signing_key/{key['kid']}"),
    ]

    assert await rejection(stub.ListAudit, pb.ListAuditRequest()) == grpc.StatusCode.UNAUTHENTICATED
    as_owner = identity.bearer("owner")
    assert await rejection(stub.ListAudit, pb.ListAuditRequest(), as_owner) == grpc.StatusCode.PERMISSION_DENIED

    identity.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(identity.process.wait(), START_TIMEOUT_S) == 0


async def rejection(
    call: grpc.aio.UnaryUnaryMultiCallable[Any, Any], request: object, metadata: tuple[tuple[str, str], ...] = ()
) -> grpc.StatusCode:
    """The status that a call is rejected with."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
    return error.value.code()
