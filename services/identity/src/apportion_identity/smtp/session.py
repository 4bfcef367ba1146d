"""One SMTP connection: the dialogue of RFC 5321 over aiosmtpd's command loop and TLS upgrade, and its guards.

What of aiosmtpd is not used here: its readings of MAIL, RCPT, DATA and EHLO (ours are stricter and bounded), AUTH,
VRFY and HELP. A client speaks, waits for the reply, and ends every line in CRLF. Whoever sends a bare CR or LF, or goes
on before the reply, is shut out at once: both are how a second message is smuggled behind a first one.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final

from aiosmtpd.smtp import SMTP, Envelope, Session, TLSSetupException
from apportion_common.logs import get_logger

from apportion_identity.smtp.intake import SmtpIntake, address_of
from apportion_identity.smtp.paths import Path, read_helo, read_mail, read_rcpt

# aiosmtpd logs every command as it came: claims' addresses are secrets, and senders' are nobody's business.
logging.getLogger("mail.log").setLevel(logging.CRITICAL + 1)
log = get_logger(__name__)

Method = Callable[[str | None], Awaitable[None]]

_BARE: Final = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")
"""A line end that is none. A CR at the end of what came so far waits for what comes next."""
_STUFFED: Final = b"."
_END: Final = b".\r\n"

BARE_LINE_END: Final = "521 5.5.2 Lines end in CRLF; a bare CR or LF is refused."
OUT_OF_STEP: Final = "554 5.5.0 Wait for each reply before you go on."
HELLO_FIRST: Final = "503 5.5.1 Say EHLO first."


class _OneLimit(dict[str, int]):
    """The same limit for every command. A defaultdict would keep every word that clients make up."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def __missing__(self, _command: str) -> int:
        return self._limit


class _Handler:
    """aiosmtpd's place for hooks: only what happens to an unforeseen error is decided here."""

    async def handle_exception(self, error: Exception) -> str:
        """Reply to a fault of ours: the client may try again, and learns nothing of it."""
        if isinstance(error, TLSSetupException):
            # aiosmtpd closes the connection; there is nobody to tell.
            log.info("smtp.tls_failed", error=type(error.__cause__).__name__)
            return ""
        log.error("smtp.failed", exc_info=error)
        return "451 4.3.0 Something went wrong here; try again later."


class SmtpSession(SMTP):
    """The server's side of one connection."""

    def __init__(self, intake: SmtpIntake, sessions: set[SmtpSession]) -> None:
        """Wait for a client; in `sessions` while one is connected."""
        limits = intake.limits
        # What aiosmtpd reads lines by, with a stuffed dot; set before its constructor makes the reader.
        self.line_length_limit = limits.line_bytes + len(_STUFFED)
        super().__init__(
            _Handler(),
            data_size_limit=limits.message_bytes,
            hostname=intake.hostname,
            ident="ESMTP",
            tls_context=intake.tls,
            timeout=limits.command_timeout_s,
            loop=asyncio.get_running_loop(),
        )
        self.command_size_limit = limits.command_bytes
        self.command_size_limits = _OneLimit(limits.command_bytes)
        self.peer_ip = ""
        self.verifying = False
        self._intake, self._sessions = intake, sessions
        self._admitted = False
        self._over = False
        self._in_data = False
        self._open_cr = b""
        self._lines = 0
        self._command_bytes = 0
        self._messages = 0
        self._unknown_recipients = 0
        self._total_timer: asyncio.TimerHandle | None = None
        self._sender: Path | None = None
        offered = ("EHLO", "HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT", "STARTTLS", "VRFY", "EXPN")
        self._smtp_methods = {name: self._in_step(getattr(self, f"smtp_{name}")) for name in offered}

    # --- the connection --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let a client in, or say that there is no room; also called when TLS begins."""
        self._open_cr = b""
        self._sender = None
        if self._original_transport is not None:
            super().connection_made(transport)
            return
        assert isinstance(transport, asyncio.Transport)
        self.peer_ip = address_of(transport)
        rejection = self._intake.admit(self.peer_ip)
        if rejection is not None:
            transport.write(f"{rejection}\r\n".encode("ascii"))
            transport.close()
            return
        self._admitted = True
        self._sessions.add(self)
        self._total_timer = self.loop.call_later(
            self._intake.limits.connection_timeout_s, self.end, "421 4.4.2 The connection has lasted too long."
        )
        super().connection_made(transport)
        assert self._handler_coroutine is not None
        self._handler_coroutine.add_done_callback(_take_error)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the client."""
        if not self._admitted:
            return
        self._admitted = False
        self._over = True
        if self._total_timer is not None:
            self._total_timer.cancel()
        self._sessions.discard(self)
        self._intake.forget(self.peer_ip)
        super().connection_lost(error)

    def eof_received(self) -> bool | None:
        """Take it that the client says no more."""
        return super().eof_received() if self._admitted else False

    def data_received(self, data: bytes) -> None:
        """Take what came, if its lines end as they must and there are not too many or too long ones."""
        if self._over or not self._admitted:
            return
        seen = self._open_cr + data
        self._open_cr = b"\r" if data.endswith(b"\r") else b""
        if _BARE.search(seen):
            self.end(BARE_LINE_END)
            return
        if not self._in_data:
            limits = self._intake.limits
            self._lines += data.count(b"\n")
            self._command_bytes += len(data)
            # The second limit is for a line that never ends.
            if self._lines > limits.commands or self._command_bytes > limits.commands * limits.command_bytes:
                self.end("421 4.7.0 There were too many commands.")
                return
        super().data_received(data)

    def end(self, reply: str) -> None:
        """Say a last word and close; what the client does not take in time is thrown away."""
        transport = self.transport or self._original_transport
        if self._over or transport is None:
            return
        self._over = True
        assert isinstance(transport, asyncio.Transport)
        if not transport.is_closing():
            transport.write(f"{reply}\r\n".encode("ascii"))
            transport.close()
        self.loop.call_later(self._intake.limits.close_timeout_s, self.abort)
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()

    def abort(self) -> None:
        """Drop the connection now, if it is still there."""
        for transport in (self.transport, self._original_transport):
            if transport is not None:
                transport.abort()  # type: ignore[attr-defined]
        # A TLS transport whose handshake never ended does not tell us that it is gone.
        self.loop.call_soon(self.connection_lost, None)

    def _timeout_cb(self) -> None:
        self.end("421 4.4.2 Nothing came in time.")

    def _in_step(self, method: Method) -> Method:
        """Return a command that is carried out only when the client waits for its reply; we do not offer PIPELINING."""

        async def run(argument: str | None) -> None:
            if self._unread():
                self.end(OUT_OF_STEP)
                return
            await method(argument)

        return run

    def _unread(self) -> bool:
        """Return whether the client has sent more than was read."""
        # The reader has no question for it; aiosmtpd itself empties this buffer when TLS begins.
        return bool(self._reader._buffer)  # type: ignore[attr-defined]

    # --- commands --------------------------------------------------------------------------------------------

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802 - aiosmtpd finds commands by their names
        """Greet, and say what is offered: SIZE (RFC 1870), 8BITMIME (RFC 6152) and STARTTLS (RFC 3207)."""
        if not self._greet(hostname, extended=True):
            await self.push("501 5.5.4 Syntax: EHLO hostname")
            return
        offers = [self.hostname, f"SIZE {self._intake.limits.message_bytes}", "8BITMIME"]
        if self._tls_protocol is None:
            offers.append("STARTTLS")
        await self.push("\r\n".join([*(f"250-{offer}" for offer in offers[:-1]), f"250 {offers[-1]}"]))

    async def smtp_HELO(self, hostname: str) -> None:  # noqa: N802 - as above
        """Greet without extensions."""
        greeted = self._greet(hostname, extended=False)
        await self.push(f"250 {self.hostname}" if greeted else "501 5.5.4 Syntax: HELO hostname")

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802 - as above
        """Go on under TLS; the dialogue begins again (RFC 3207, section 4.2)."""
        if self._tls_protocol is not None:
            await self.push("503 5.5.1 TLS is on already.")
            return
        await super().smtp_STARTTLS(arg)

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802 - as above
        """Begin a message."""
        limits = self._intake.limits
        if self._session().host_name is None:
            await self.push(HELLO_FIRST)
            return
        if self._sender is not None:
            await self.push("503 5.5.1 There is a sender already.")
            return
        sender = read_mail(arg)
        if sender is None:
            await self.push("501 5.5.4 Syntax: MAIL FROM:<address> [SIZE=bytes] [BODY=8BITMIME]")
            return
        if (rejection := _unfit(sender, limits.message_bytes, extended=self._session().extended_smtp)) is not None:
            await self.push(rejection)
            return
        self._messages += 1
        if self._messages > limits.messages_per_connection:
            self.end("421 4.7.0 There were too many messages; open another connection.")
            return
        if (rejection := self._intake.reject_message(self.peer_ip)) is not None:
            self.end(rejection)
            return
        self._sender = sender
        await self.push("250 2.1.0 OK")

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802 - as above
        """Name the recipient: a claim's address, and no other (RFC 5321, section 3.6.1: no relay)."""
        if self._sender is None:
            await self.push("503 5.5.1 Say MAIL first.")
            return
        recipient = read_rcpt(arg)
        if recipient is None:
            await self.push("501 5.5.4 Syntax: RCPT TO:<address>")
            return
        if recipient.parameters:
            await self.push("555 5.5.4 No parameters of RCPT are known.")
            return
        envelope = self._envelope()
        if len(envelope.rcpt_tos) >= self._intake.limits.recipients:
            await self.push("452 4.5.3 A message proves one claim: send it to one recipient.")
            return
        rejection = await self._intake.reject_recipient(recipient)
        if rejection is None:
            envelope.rcpt_tos.append(recipient.address)
            await self.push("250 2.1.5 OK")
            return
        self._unknown_recipients += rejection.startswith("5")
        if self._unknown_recipients > self._intake.limits.unknown_recipients:
            self.end("421 4.7.0 There were too many unknown recipients.")
            return
        await self.push(rejection)

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802 - as above
        """Take the message and answer with the verdict on it."""
        envelope = self._envelope()
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
            return
        if self._sender is None or not envelope.rcpt_tos:
            await self.push("503 5.5.1 Say MAIL and RCPT first.")
            return
        self._in_data = True
        try:
            await self.push("354 End the message with a line that is a single dot.")
            content, rejection = await self._read_message()
        finally:
            self._in_data = False
        if self._unread():
            rejection = None
            self.end(OUT_OF_STEP)
            return
        sender = self._sender
        self._set_rset_state()
        if rejection is not None:
            await self.push(rejection)
            return
        helo = (self.session.host_name if self.session is not None else None) or ""
        # Verifying has a time-out of its own.
        self._reset_timeout()
        self.verifying = True
        try:
            reply = await self._intake.verify(self.peer_ip, helo, sender, envelope.rcpt_tos[0], content)
        finally:
            self.verifying = False
        await self.push(reply)
        if self._intake.stopping:
            self.end("421 4.3.2 The service is shutting down.")

    async def smtp_VRFY(self, arg: str) -> None:  # noqa: N802 - as above
        """Tell nothing (RFC 5321, section 7.3)."""
        await self.push("252 2.5.2 Addresses are not verified; send the message.")

    async def smtp_EXPN(self, arg: str) -> None:  # noqa: N802 - as above
        """There are no lists."""
        await self.push("502 5.5.1 There are no lists here.")

    def _set_rset_state(self) -> None:
        """Forget the message that was begun; aiosmtpd calls this at RSET, at a greeting and when TLS begins."""
        self._sender = None
        super()._set_rset_state()  # type: ignore[no-untyped-call]

    # --- parts -----------------------------------------------------------------------------------------------

    def _greet(self, hostname: str | None, *, extended: bool) -> bool:
        name = read_helo(hostname)
        if name is None:
            return False
        self._set_rset_state()
        self._session().extended_smtp = extended
        self._session().host_name = name
        return True

    async def _read_message(self) -> tuple[bytes, str | None]:
        """Return the message up to its end, its dots unstuffed (RFC 5321, section 4.5.2), or its rejection.

        What is too long is read to its end, so that the client hears why; what goes on beyond all measure is cut off.
        """
        limits = self._intake.limits
        too_long = f"500 5.5.2 A line is longer than {limits.line_bytes} bytes."
        lines: list[bytes] = []
        rejection: str | None = None
        size = taken = 0
        inside_long_line = False
        while True:
            try:
                line = await self._reader.readuntil(b"\r\n")
            except asyncio.LimitOverrunError as error:
                line = await self._reader.read(max(error.consumed, 1))
                inside_long_line = True
                rejection = rejection or too_long
                lines.clear()
            else:
                if inside_long_line:
                    inside_long_line = False
                elif line == _END:
                    return b"".join(lines), rejection
                else:
                    line_bytes = line.removeprefix(_STUFFED)
                    size += len(line_bytes)
                    # The reader lets a few bytes more through: it counts up to the line's end, not with it.
                    if len(line_bytes) > limits.line_bytes:
                        rejection = rejection or too_long
                    if rejection is None:
                        lines.append(line_bytes)
            if size > limits.message_bytes and rejection is None:
                rejection = f"552 5.3.4 The message is larger than {limits.message_bytes} bytes."
                lines.clear()
            taken += len(line)
            if taken > limits.drained_bytes:
                self.end("552 5.3.4 The message is far too large.")
                raise asyncio.CancelledError

    def _session(self) -> Session:
        assert self.session is not None
        return self.session

    def _envelope(self) -> Envelope:
        assert self.envelope is not None
        return self.envelope


def _unfit(sender: Path, size_max: int, *, extended: bool) -> str | None:
    """Return what is wrong with the parameters of MAIL."""
    if sender.parameters and not extended:
        return "503 5.5.1 Parameters need EHLO."
    for name, value in sender.parameters:
        if name == "SIZE" and value.isascii() and value.isdigit():
            if int(value[:20]) > size_max:
                return f"552 5.3.4 The message is larger than {size_max} bytes."
        elif not (name == "BODY" and value.upper() in ("7BIT", "8BITMIME")):
            return "555 5.5.4 Only SIZE=bytes and BODY=7BIT or 8BITMIME are known."
    return None


def _take_error(dialogue: asyncio.Task[None]) -> None:
    """See how a dialogue ended, so that a client that is gone is no error of the event loop's."""
    if not dialogue.cancelled() and (error := dialogue.exception()) is not None:
        log.info("smtp.broken_off", error=type(error).__name__)
