"""A gateway on a loopback port, a mail that tests tell what to say, and a client that speaks bytes."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from apportion_common.clock import SystemClock
from apportion_dev.local.keys import LocalCa
from apportion_dev.testing.clocks import FixedClock
from apportion_identity.domain.mail.types import Envelope
from apportion_identity.smtp.gateway import SmtpGateway, server_tls
from apportion_identity.smtp.intake import GatewayLimits
from apportion_identity.smtp.mail import Verdict

CLAIM_DOMAIN = "claims.example.net"
RECIPIENT = f"claim-{'a' * 52}@{CLAIM_DOMAIN}"
SENDER = "ada@example.com"
HOSTNAME = "mx.example.net"
WAIT_S = 60
HELD_S = 3.0
"""How long a gateway waits for who says nothing, where the test says something first: on a busy machine too."""
VERIFIED = Verdict(proved=True, reason="VERIFIED", explanation="The claim is verified.")


@dataclass
class FakeMail:
    """Knows one recipient, says what it was told to say, and keeps what it was asked."""

    verdict: Verdict | Exception = VERIFIED
    wait: asyncio.Event | None = None
    asked: list[tuple[bytes, Envelope]] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)

    async def knows(self, recipient: str) -> bool:
        self.looked_up.append(recipient)
        if recipient.startswith("trouble@"):
            raise RuntimeError("the database is gone: secret")
        return recipient == RECIPIENT

    async def verify(self, message: bytes, envelope: Envelope) -> Verdict:
        self.asked.append((message, envelope))
        if self.wait is not None:
            await self.wait.wait()
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict


@dataclass
class Client:
    """A client that says what it is told, right or wrong."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self) -> str:
        """One reply, however many lines; empty when the connection has ended."""
        lines: list[str] = []
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    line = (await self.reader.readline()).decode("ascii")
                except ConnectionError:
                    return ""
                if not line:
                    return ""
                assert line.endswith("\r\n"), line
                lines.append(line.rstrip("\r\n"))
                if line[3:4] == " ":
                    return "\n".join(lines)

    async def say(self, command: str) -> str:
        await self.send(command.encode() + b"\r\n")
        return await self.reply()

    async def closed(self) -> bool:
        """Whether the server has ended the connection, with nothing more to say."""
        async with asyncio.timeout(WAIT_S):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True

    async def hello(self) -> None:
        assert (await self.reply()).startswith("220 ")
        assert (await self.say("EHLO client.example.com")).startswith("250-")

    async def begin(self) -> None:
        """Up to the place where the message may be sent."""
        await self.hello()
        await self.address()

    async def address(self) -> None:
        assert (await self.say(f"MAIL FROM:<{SENDER}>")).startswith("250 ")
        assert (await self.say(f"RCPT TO:<{RECIPIENT}>")).startswith("250 ")
        assert (await self.say("DATA")).startswith("354 ")

    async def message(self, content: bytes) -> str:
        """Send a message whose dots are stuffed already, and its end."""
        await self.send(content + b".\r\n")
        return await self.reply()

    async def start_tls(self, trust: ssl.SSLContext) -> None:
        assert (await self.say("STARTTLS")).startswith("220 ")
        await self.writer.start_tls(trust, server_hostname=HOSTNAME)

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()


@dataclass
class SmtpHarness:
    """A running gateway."""

    gateway: SmtpGateway
    server: asyncio.Server
    mail: FakeMail
    clock: FixedClock
    trust: ssl.SSLContext
    clients: list[Client] = field(default_factory=list)

    async def connect(self) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway.port)
        self.clients.append(Client(reader, writer))
        return self.clients[-1]


async def until(look: Callable[[], bool]) -> None:
    """Look until it is so; fails when it is not in time."""
    deadline = time.monotonic() + WAIT_S
    while not look():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@asynccontextmanager
async def smtp_gateway(
    folder: Path, mail: FakeMail | None = None, is_open: Callable[[], bool] = lambda: True, **limits: float
) -> AsyncIterator[SmtpHarness]:
    """A gateway for the length of a block, with some limits of its own."""
    now = SystemClock().now()
    ca = LocalCa.create_or_load(folder / "tls", now)
    certificate = ca.issue_server_certificate([HOSTNAME], now, "identity")
    clock = FixedClock(datetime(2026, 1, 31, tzinfo=UTC))
    asked = FakeMail() if mail is None else mail
    gateway = SmtpGateway(
        asked,
        listen="127.0.0.1:0",
        hostname=HOSTNAME,
        claim_domain=CLAIM_DOMAIN,
        tls=server_tls(certificate.certificate_file, certificate.key_file),
        clock=clock,
        is_open=is_open,
        limits=GatewayLimits(**limits),  # type: ignore[arg-type]
    )
    server = await gateway.start()
    trust = ssl.create_default_context(cafile=str(ca.certificate_file))
    harness = SmtpHarness(gateway, server, asked, clock, trust)
    try:
        yield harness
    finally:
        for client in harness.clients:
            await client.close()
        await gateway.stop(server)
