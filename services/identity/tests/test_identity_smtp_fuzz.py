"""Whatever a client sends: the gateway replies or closes, nothing breaks, and only what was sent whole is verified.

Each round has a seed, which a failure names. A strict reading of what was sent, a few lines long, is the model.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import structlog
from apportion_identity.domain.mail.types import Envelope
from apportion_identity.smtp.mail import Verdict
from smtp_harness import CLAIM_DOMAIN, RECIPIENT, SENDER, WAIT_S, Client, FakeMail, SmtpHarness, smtp_gateway, until

CI_S = 8
ROUNDS_MIN = 10
"""More than so many are played, also where they take longer than they should."""
SOAK_S = 300
"""For each of the two kinds of rounds."""
LIMITS = {
    "connections": 1_000,
    "connections_per_peer": 1_000,
    "connection_burst": 1_000_000_000,
    "message_burst": 1_000_000_000,
    "message_bytes": 4_000,
    "drained_bytes": 20_000,
    "command_timeout_s": 2,
    "close_timeout_s": 0.2,
}
PROOF = b"X-Proof: good"
BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
END = re.compile(rb"(?:\A|\r\n)\.\r\n")

COMMANDS = (
    "EHLO client.example.com", "HELO x", "EHLO", f"MAIL FROM:<{SENDER}>", "MAIL FROM:<>", "MAIL FROM:<> SIZE=10",
    "MAIL FROM:<> SIZE=9999999", "MAIL FROM:<a@b> BODY=8BITMIME X", f"RCPT TO:<{RECIPIENT}>", "RCPT TO:<postmaster>",
    f"RCPT TO:<claim-x@{CLAIM_DOMAIN}>", "RCPT TO:<a@elsewhere.example>", "DATA", "DATA x", "RSET", "RSET x", "NOOP",
    "VRFY root", "EXPN all", "HELP", "AUTH PLAIN", "STARTTLS", "QUIT", "BDAT 5 LAST", "XCLIENT ADDR=192.0.2.1", "",
    " ", "\0", "MAIL FROM:<" + "a" * 600 + ">", "RCPT TO:<" + "(" * 300, "MAIL FROM:<\"\\",
)  # fmt: skip
GOOD = ("EHLO client.example.com", f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{RECIPIENT}>", "DATA")
PIECES = (
    PROOF + b"\r\n", b"From: a@b.example\r\n", b"\r\n", b"text\r\n", b".\r\n", b"..\r\n", b".x\r\n", b"\n.\n",
    b"\r\n.\n", b"\r.\r", b"\n.\r\n", b"\n", b"\r", b"\0", b"\xff\xfe\r\n", b"x" * 998 + b"\r\n", b"y" * 1_200,
    b"z" * 3_000 + b"\r\n", b"MAIL FROM:<>\r\n", b"\x1a", b"\r\r\n",
)  # fmt: skip

Play = Callable[[SmtpHarness, random.Random], Awaitable[None]]


class Reader(FakeMail):
    """Takes a message for a proof when it has the line that proves."""

    async def verify(self, message: bytes, envelope: Envelope) -> Verdict:
        await super().verify(message, envelope)
        return Verdict(proved=PROOF in message.split(b"\r\n"), reason="READ", explanation="")


def model(sent: bytes) -> tuple[bytes, bool] | None:
    """What of that may be verified, and whether nothing follows it; None when it may not be."""
    end = END.search(sent)
    if end is None:
        return None
    lines = [line.removeprefix(b".") for line in sent[: end.end() - 3].split(b"\r\n")]
    if BARE.search(sent[: end.end()]) or any(len(line) > 998 for line in lines):
        return None
    content = b"\r\n".join(lines)
    return None if len(content) > LIMITS["message_bytes"] else (content, end.end() == len(sent))


async def send(client: Client, data: bytes, chance: random.Random) -> None:
    """Send in one piece, or in two."""
    cut = chance.randrange(len(data) + 1) if chance.random() < 0.3 else 0
    try:
        if cut:
            await client.send(data[:cut])
            await asyncio.sleep(0)
        await client.send(data[cut:])
    except ConnectionError:
        return


async def dialogue(harness: SmtpHarness, chance: random.Random) -> None:
    """A dialogue that goes right and wrong, a reply or an end awaited at each step."""
    client = await harness.connect()
    assert (await client.reply()).startswith("220 ")
    script = [*GOOD] if chance.random() < 0.7 else []
    for _ in range(chance.randrange(4)):
        script.insert(chance.randrange(len(script) + 1), chance.choice(COMMANDS))
    for command in script:
        line = command.encode()
        if line and chance.random() < 0.05:
            at = chance.randrange(len(line))
            line = line[:at] + bytes([chance.randrange(256)]) + line[at + 1 :]
        await send(client, line + b"\r\n", chance)
        reply = await client.reply()
        if not reply:
            break
        if reply.startswith("354"):
            await data(harness, client, chance)
            break
    await client.close()


async def data(harness: SmtpHarness, client: Client, chance: random.Random) -> None:
    """A message in any state, and what the model says of it."""
    before = len(harness.mail.asked)
    sent = b"".join(chance.choices(PIECES, k=chance.randrange(8))) + b".\r\n" * (chance.random() < 0.9)
    await send(client, sent, chance)
    expected = model(sent)
    if expected is None and not END.search(sent) and not BARE.search(sent):
        # Unfinished: it is the client that breaks off.
        await client.close()
        assert len(harness.mail.asked) == before
        return
    reply = await client.reply()
    verified = [message for message, *_ in harness.mail.asked[before:]]
    if expected is None:
        assert verified == []
        assert reply == "" or reply[0] in "45"
        return
    content, whole = expected
    assert verified == [content] or (not whole and verified == [])
    if whole:
        assert reply[:3] == ("250" if PROOF in content.split(b"\r\n") else "550")


async def noise(harness: SmtpHarness, chance: random.Random) -> None:
    """Bytes without a sense, or torn from a dialogue, all at once."""
    client = await harness.connect()
    whole = "\r\n".join(GOOD).encode() + b"\r\n" + PROOF + b"\r\n.\r\nQUIT\r\n"
    sent = bytearray(whole if chance.random() < 0.6 else chance.randbytes(chance.randrange(1, 3_000)))
    for _ in range(chance.randrange(6)):
        at = chance.randrange(len(sent))
        sent[at : at + chance.randrange(8)] = chance.choice(
            (chance.randbytes(chance.randrange(9)), b"\r\n", b"\n", b"\0")
        )
        sent = sent or bytearray(b"\n")
    await send(client, bytes(sent) + b"\r\n", chance)
    with contextlib.suppress(OSError):
        client.writer.write_eof()
    async with asyncio.timeout(WAIT_S):
        while reply := await client.reply():
            assert not reply.startswith("250 2.6.0")
    # All at once is never in step, so nothing of it is verified.
    assert not harness.mail.asked


@pytest.mark.parametrize("play", [dialogue, noise])
async def test_whatever_is_sent_is_answered_or_ended_and_never_taken_for_more(tmp_path: Path, play: Play) -> None:
    await fuzz(tmp_path, play, CI_S, seeds=itertools.count(1))


@pytest.mark.soak
@pytest.mark.timeout(SOAK_S + 120)
@pytest.mark.parametrize("play", [dialogue, noise])
async def test_for_minutes_whatever_is_sent_is_answered_or_ended(tmp_path: Path, play: Play) -> None:
    await fuzz(tmp_path, play, SOAK_S, seeds=itertools.count(random.randrange(1 << 40)))


async def fuzz(folder: Path, play: Play, for_s: float, seeds: Iterator[int]) -> None:
    """Play rounds for a while; fails with the seed of a round that broke something."""
    mail = Reader()
    broken: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: broken.append(context))
    try:
        async with smtp_gateway(folder, mail, **LIMITS) as harness:
            ends = time.monotonic() + for_s
            rounds = 0
            for rounds, seed in enumerate(seeds, 1):
                with structlog.testing.capture_logs() as logs:
                    try:
                        await play(harness, random.Random(seed))
                    except Exception as error:
                        raise AssertionError(f"round with seed {seed}: {error!r}") from error
                broken += [entry for entry in logs if entry["log_level"] == "error"]
                assert not broken, f"round with seed {seed}: {broken}"
                mail.asked.clear()
                mail.looked_up.clear()
                harness.clients.clear()
                if time.monotonic() > ends and rounds > ROUNDS_MIN:
                    break
            assert rounds > ROUNDS_MIN
            # What is left ends by itself, and the next client is served.
            await until(lambda: not harness.gateway._sessions)
            client = await harness.connect()
            await client.begin()
            assert (await client.message(PROOF + b"\r\n")).startswith("250 2.6.0 ")
    finally:
        asyncio.get_running_loop().set_exception_handler(None)
