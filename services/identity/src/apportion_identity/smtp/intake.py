"""What the connections of the gateway share: who is let in, which mail is taken, and the verdict as a reply.

It knows clients by their addresses alone: their connections call it, and it calls none of them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import textwrap
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from apportion_common.caller import CallInfo, serving
from apportion_common.clock import Clock
from apportion_common.errors import ApportionError, InvalidArgument, ResourceExhausted, Unavailable
from apportion_common.logs import get_logger
from apportion_common.metrics import counter, gauge
from apportion_common.rate_limit import RateLimit
from opentelemetry import trace

from apportion_identity import limits as limit
from apportion_identity.domain.mail.types import Envelope
from apportion_identity.smtp.mail import InboundMail, Verdict
from apportion_identity.smtp.paths import Path

CONNECTIONS: Final = counter("apportion_smtp_connections", "Connections, by whether they were let in.", ["result"])
OPEN: Final = gauge("apportion_smtp_open_connections", "Connections that are open now.")
MESSAGES: Final = counter(
    "apportion_smtp_messages", "Messages that were verified, by what they were answered.", ["code"]
)

IPV6_PEER_BITS: Final = 64
"""What one customer commonly has of IPv6: it counts as one peer."""

TRY_LATER: Final = "451 4.3.0 Something went wrong here; try again later."
CLOSED: Final = "421 4.3.2 Domains are not being verified now; try again later."
UNKNOWN: Final = "550 5.1.1 NO_SUCH_CLAIM No claim waits for mail at this address."
NO_RELAY: Final = "550 5.7.1 NO_RELAY This server takes mail for claims only."

log = get_logger(__name__)
tracer = trace.get_tracer(__name__)


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """Every limit of the gateway; see limits.py."""

    message_bytes: int = limit.MESSAGE_BYTES_MAX
    drained_bytes: int = limit.SMTP_DRAINED_BYTES_MAX
    line_bytes: int = limit.SMTP_LINE_BYTES_MAX
    command_bytes: int = limit.SMTP_COMMAND_BYTES_MAX
    connections: int = limit.SMTP_CONNECTIONS_MAX
    connections_per_peer: int = limit.SMTP_CONNECTIONS_PER_PEER_MAX
    connection_burst: int = limit.SMTP_CONNECTION_BURST_MAX
    message_burst: int = limit.SMTP_MESSAGE_BURST_MAX
    commands: int = limit.SMTP_COMMANDS_MAX
    messages_per_connection: int = limit.SMTP_MESSAGES_PER_CONNECTION_MAX
    recipients: int = limit.SMTP_RECIPIENTS_MAX
    unknown_recipients: int = limit.SMTP_UNKNOWN_RECIPIENTS_MAX
    verifications: int = limit.SMTP_VERIFICATIONS_MAX
    command_timeout_s: float = limit.SMTP_COMMAND_TIMEOUT_S
    connection_timeout_s: float = limit.SMTP_CONNECTION_TIMEOUT_S
    verify_timeout_s: float = limit.SMTP_VERIFY_TIMEOUT_S
    close_timeout_s: float = limit.SMTP_CLOSE_TIMEOUT_S
    shutdown_timeout_s: float = limit.SMTP_SHUTDOWN_TIMEOUT_S


class SmtpIntake:
    """Admits clients and mail, and has mail verified."""

    def __init__(
        self,
        mail: InboundMail,
        *,
        hostname: str,
        claim_domain: str,
        tls: ssl.SSLContext,
        clock: Clock,
        is_open: Callable[[], bool],
        limits: GatewayLimits,
    ) -> None:
        """Take mail for `claim_domain` while `is_open`, under the name `hostname`; lets nobody in while `stopping`."""
        self.limits = limits
        self.hostname = hostname
        self.tls = tls
        self.stopping = False
        self.nobody = asyncio.Event()
        """Set while no client is connected."""
        self.nobody.set()
        self._mail = mail
        self._claim_domain = claim_domain.lower()
        self._is_open = is_open
        self._by_peer: Counter[str] = Counter()
        self._turns = asyncio.Semaphore(limits.verifications)
        self._connection_rate = self._rate("connections", limits.connection_burst, clock)
        self._message_rate = self._rate("messages", limits.message_burst, clock)

    def admit(self, client_ip: str) -> str | None:
        """Let a client in and return None, or return the reply that turns it away."""
        peer = peer_of(client_ip)
        rejection = self._reject_connection(peer)
        CONNECTIONS.labels("refused" if rejection else "admitted").inc()
        if rejection is not None:
            return rejection
        self.nobody.clear()
        self._by_peer[peer] += 1
        OPEN.set(self._by_peer.total())
        return None

    def forget(self, client_ip: str) -> None:
        """Forget a client that was let in and is gone."""
        peer = peer_of(client_ip)
        self._by_peer[peer] -= 1
        if self._by_peer[peer] <= 0:
            del self._by_peer[peer]
        if not self._by_peer:
            self.nobody.set()
        OPEN.set(self._by_peer.total())

    def reject_message(self, client_ip: str) -> str | None:
        """Return None when the client may send a message now, else the reply that ends the connection."""
        if not self._is_open():
            return CLOSED
        try:
            self._message_rate.take(peer_of(client_ip), reason="SMTP_RATE_LIMITED")
        except ResourceExhausted as rejection:
            return f"421 4.7.0 {rejection.reason} Too many messages; try again in {rejection.retry_after_s} s."
        return None

    async def reject_recipient(self, recipient: Path) -> str | None:
        """Return None for a claim's address, else the reply."""
        if recipient.domain.lower() != self._claim_domain:
            return UNKNOWN if not recipient.domain else NO_RELAY
        try:
            async with asyncio.timeout(self.limits.verify_timeout_s):
                with serving(CallInfo("smtp", str(uuid4()))):
                    return None if await self._mail.knows(recipient.address) else UNKNOWN
        except Exception as error:
            # Whatever it is, the sender's server keeps the mail and comes again.
            return _trouble(error)

    async def verify(self, client_ip: str, helo: str, sender: Path, recipient: str, message: bytes) -> str:
        """Verify a message and return the reply to it."""
        envelope = Envelope(
            client_ip=client_ip,
            helo=helo,
            mail_from=sender.address,
            rcpt_to=recipient,
            # The gateway saw the client itself.
            trusted_relay=True,
        )
        with tracer.start_as_current_span("smtp message") as span:
            try:
                async with asyncio.timeout(self.limits.verify_timeout_s), self._turns:
                    with serving(CallInfo("smtp", str(uuid4()))):
                        verdict = await self._mail.verify(message, envelope)
            except Exception as error:
                reply, reason = _trouble(error), getattr(error, "reason", "")
            else:
                reply, reason = _verdict_reply(verdict), verdict.reason
            span.set_attribute("smtp.code", reply[:3])
            span.set_attribute("smtp.reason", reason)
        MESSAGES.labels(reply[:3]).inc()
        log.info("smtp.message", bytes=len(message), code=reply[:3], reason=reason, peer=client_ip)
        return reply

    def _reject_connection(self, peer: str) -> str | None:
        if self.stopping:
            return "421 4.3.2 The service is shutting down."
        if self._by_peer.total() >= self.limits.connections:
            return "421 4.7.0 Too many connections; try again later."
        if self._by_peer[peer] >= self.limits.connections_per_peer:
            return "421 4.7.0 Too many connections from your network; try again later."
        try:
            self._connection_rate.take(peer, reason="SMTP_RATE_LIMITED")
        except ResourceExhausted as rejection:
            return f"421 4.7.0 {rejection.reason} Too many connections; try again in {rejection.retry_after_s} s."
        return None

    @staticmethod
    def _rate(name: str, burst: int, clock: Clock) -> RateLimit:
        return RateLimit(name, burst, burst / limit.SMTP_REFILL_S, clock, limit.SMTP_PEERS_MAX)


def address_of(transport: asyncio.Transport) -> str:
    """Return the client's address in its plain form: IPv4 that came through an IPv6 socket is IPv4."""
    name = transport.get_extra_info("peername")
    text = str(name[0]).partition("%")[0] if name else ""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def peer_of(address: str) -> str:
    """Return who counts as one peer: an IPv4 address, or the /64 network of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((found, IPV6_PEER_BITS), strict=False))


def reply_of(code: str, text: str) -> str:
    """Return a reply in printable ASCII, on several lines where one is not enough (RFC 5321, section 4.2.1).

    `code` has the enhanced status code with it (RFC 3463), such as `550 5.7.1`.
    """
    plain = "".join(char if " " <= char <= "~" else "?" for char in text)
    lines = textwrap.wrap(plain, limit.SMTP_REPLY_CHARS_MAX) or [""]
    basic, _, enhanced = code.partition(" ")
    before = [f"{basic}-{enhanced} {line}" for line in lines[:-1]]
    return "\r\n".join([*before, f"{basic} {enhanced} {lines[-1]}".rstrip()])


def _verdict_reply(verdict: Verdict) -> str:
    return reply_of("250 2.6.0" if verdict.proved else "550 5.7.1", f"{verdict.reason} {verdict.explanation}")


def _trouble(error: Exception) -> str:
    """Return the reply to a message that could not be verified: only what can never be right is rejected for good."""
    if isinstance(error, InvalidArgument):
        return reply_of("550 5.6.0", f"{error.reason} {error.message}")
    if isinstance(error, Unavailable):
        return reply_of("451 4.4.3", f"{error.reason} {error.message}")
    if isinstance(error, ResourceExhausted):
        return reply_of("452 4.7.0", f"{error.reason} {error.message}")
    if isinstance(error, ApportionError | TimeoutError):
        log.warning("smtp.not_verified", error=type(error).__name__, reason=getattr(error, "reason", ""))
    else:
        log.error("smtp.failed", exc_info=error)
    return TRY_LATER
