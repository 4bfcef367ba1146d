"""The SMTP gateway: listens for mail to claims' addresses; each message is verified as the RPC does it.

It takes mail for live claims and for nothing else, holds none, and replies with the verdict itself: 250 with what the
message did, 550 with the stable reason, 451 when DNS or we ourselves are in trouble, 452 and 421 beyond a limit. A
message whose 250 was lost is sent again by its server and gets the same answer, since its request id is its hash.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path as FilePath

from apportion_common.clock import Clock
from apportion_common.logs import get_logger
from apportion_common.metrics import split_address

from apportion_identity.smtp.intake import GatewayLimits, SmtpIntake
from apportion_identity.smtp.mail import InboundMail
from apportion_identity.smtp.session import SmtpSession

log = get_logger(__name__)


class SmtpGateway:
    """The listener and its connections."""

    def __init__(
        self,
        mail: InboundMail,
        *,
        listen: str,
        hostname: str,
        claim_domain: str,
        tls: ssl.SSLContext,
        clock: Clock,
        is_open: Callable[[], bool] = lambda: True,
        limits: GatewayLimits | None = None,
    ) -> None:
        """Plan to listen on `listen` (host:port, port 0 for any) under the name `hostname`.

        Takes mail for `claim_domain` while `is_open`; a closed feature makes senders wait, and loses no mail.
        """
        self.port = 0
        self._host, self._wanted_port = split_address(listen)
        self._sessions: set[SmtpSession] = set()
        self._limits = GatewayLimits() if limits is None else limits
        self._intake = SmtpIntake(
            mail,
            hostname=hostname,
            claim_domain=claim_domain,
            tls=tls,
            clock=clock,
            is_open=is_open,
            limits=self._limits,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until told to stop, then let the verdicts in the making be said. OSError when the address is taken."""
        server = await self.start()
        await stop.wait()
        await self.stop(server)

    async def start(self) -> asyncio.Server:
        """Listen."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._session, self._host, self._wanted_port)
        self.port = server.sockets[0].getsockname()[1]
        log.info("smtp.listening", host=self._host, port=self.port, hostname=self._intake.hostname)
        return server

    async def stop(self, server: asyncio.Server) -> None:
        """Let nobody else in, end who is only talking, and wait for verdicts a little."""
        self._intake.stopping = True
        server.close()
        for session in list(self._sessions):
            if not session.verifying:
                session.end("421 4.3.2 The service is shutting down.")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.shutdown_timeout_s):
                await self._intake.nobody.wait()
        for session in list(self._sessions):
            session.abort()
        log.info("smtp.stopped")

    def _session(self) -> SmtpSession:
        return SmtpSession(self._intake, self._sessions)


def server_tls(certificate_file: FilePath, key_file: FilePath) -> ssl.SSLContext:
    """Return TLS for STARTTLS with the service's own certificate. Raises OSError or ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate_file, key_file)
    return context
