"""The service's process, as it is run: its environment, its keys, its tokens."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from apportion_common.bus.connection import connect
from apportion_common.bus.streams import ensure_streams
from apportion_common.clock import SystemClock
from apportion_common.flags import all_open
from apportion_common.topology import STREAMS
from apportion_dev.local.keys import LocalCa, TokenSigningKey, mint_token, write_jwks
from apportion_dev.local.nats import LocalNats
from apportion_dev.local.ports import LOOPBACK, reserve_port
from apportion_dev.testing.databases import ServiceDatabase
from apportion_dev.testing.servers import NatsAccess
from metering_harness import STREAM_BYTES_MAX
from nats.js.errors import NotFoundError

ISSUER, AUDIENCE = "test-issuer", "test-audience"


@dataclass
class Service:
    """A process that may be started again and again, and what its callers need."""

    environment: dict[str, str]
    address: str
    authority: bytes
    key: TokenSigningKey
    log: Path

    def start(self, **more: str) -> subprocess.Popen[bytes]:
        """Start the process, with further settings."""
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "apportion_metering", "serve"],
                env=self.environment | more,
                stdout=output,
                stderr=output,
            )

    def token(self, role: str, org: UUID | None = None) -> list[tuple[str, str]]:
        """Metadata with a token of a role."""
        raw = mint_token(
            self.key.private_key,
            self.key.kid,
            ISSUER,
            AUDIENCE,
            f"{role}-subject",
            [role],
            now=SystemClock().now(),
            ttl_s=600,
            org_id=str(org) if org else None,
        )
        return [("authorization", f"Bearer {raw}")]


@contextmanager
def prepared_service(folder: Path, database: ServiceDatabase, nats: tuple[LocalNats, NatsAccess]) -> Iterator[Service]:
    """Everything that the process needs, on empty streams."""
    server, access = nats
    asyncio.run(empty_streams(access))
    now = SystemClock().now()
    authority = LocalCa.create_or_load(folder / "ca", now)
    certificate = authority.issue_server_certificate([LOOPBACK, "localhost"], now, "metering")
    key = TokenSigningKey.create_or_load(folder / "key.pem")
    write_jwks(folder / "jwks.json", [key])
    (folder / "token").write_text("unused")
    listen, metrics = reserve_port(), reserve_port()
    assert access.nats_user is not None
    assert access.nats_password is not None
    environment = {
        "PATH": os.environ["PATH"],
        **all_open(),
        "ENVIRONMENT": "test",
        "METERING_DATABASE_URL": database.app_url,
        "NATS_URL": access.nats_url,
        "NATS_USER": access.nats_user,
        "NATS_PASSWORD": access.nats_password.get_secret_value(),
        "NATS_MONITOR_URL": server.monitor_url,
        "GRPC_LISTEN": listen.address,
        "METRICS_LISTEN": metrics.address,
        "TLS_CERT_FILE": str(certificate.certificate_file),
        "TLS_KEY_FILE": str(certificate.key_file),
        "TLS_CA_FILE": str(_both_authorities(folder, authority, access)),
        "JWKS_FILE": str(folder / "jwks.json"),
        "TOKEN_ISSUER": ISSUER,
        "TOKEN_AUDIENCE": AUDIENCE,
        "SERVICE_TOKEN_FILE": str(folder / "token"),
        "SHUTDOWN_GRACE_S": "10",
        "SHUTDOWN_DELAY_S": "0",
    }
    log = folder / "service.log"
    try:
        yield Service(environment, listen.address, authority.certificate_file.read_bytes(), key, log)
    finally:
        listen.close()
        metrics.close()


def _both_authorities(folder: Path, authority: LocalCa, access: NatsAccess) -> Path:
    """The authorities of this test and of its NATS server in one file."""
    assert access.tls_ca_file is not None
    both = folder / "authorities.pem"
    both.write_bytes(authority.certificate_file.read_bytes() + access.tls_ca_file.read_bytes())
    return both


async def empty_streams(access: NatsAccess) -> None:
    """Make every stream anew."""
    client = await connect(access, "empty")
    js = client.jetstream()
    for spec in STREAMS:
        try:
            await js.delete_stream(spec.name)
        except NotFoundError:
            continue
    await ensure_streams(js, max_bytes=STREAM_BYTES_MAX)
    await client.close()
