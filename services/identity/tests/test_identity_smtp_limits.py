"""The SMTP gateway's limits: of a message, a line, a command, a connection and a peer, and its time-outs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from datetime import timedelta
from pathlib import Path

from smtp_harness import HELD_S, RECIPIENT, SENDER, WAIT_S, smtp_gateway, until

MESSAGE = b"From: ada@example.com\r\nTo: " + RECIPIENT.encode() + b"\r\n\r\nHello\r\n"


async def test_a_message_may_be_a_mebibyte_and_no_byte_more(tmp_path: Path) -> None:
    line = b"x" * 62 + b"\r\n"
    async with smtp_gateway(tmp_path) as harness:
        client = await harness.connect()
        await client.begin()
        assert (await client.message(line * 16_384)).startswith("250 ")
        assert len(harness.mail.asked[0][0]) == 1_048_576
        await client.address()
        assert (await client.message(line * 16_383 + b"x" + line)).startswith("552 5.3.4 ")
        assert (await client.say(f"MAIL FROM:<{SENDER}> SIZE=1048577")).startswith("552 5.3.4 ")
        assert (await client.say(f"MAIL FROM:<{SENDER}> SIZE=99999999999999999999999")).startswith("552 5.3.4 ")
        assert (await client.say(f"MAIL FROM:<{SENDER}> SIZE=1048576 BODY=8BITMIME")).startswith("250 ")
        assert len(harness.mail.asked) == 1


async def test_a_message_beyond_all_measure_is_cut_off(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path, message_bytes=1_000, drained_bytes=5_000) as harness:
        client = await harness.connect()
        await client.begin()
        await client.send((b"x" * 98 + b"\r\n") * 51)
        assert (await client.reply()).startswith("552 5.3.4 ")
        assert await client.closed()


async def test_a_line_too_long_is_rejected_at_the_messages_end_and_its_rest_is_no_end(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path) as harness:
        client = await harness.connect()
        await client.begin()
        assert (await client.message(b"x" * 998 + b"\r\n." + b"." * 998 + b"\r\n")).startswith("250 ")
        for length in (999, 1_000, 1_001):
            await client.address()
            assert (await client.message(b"x" * length + b"\r\n")).startswith("500 5.5.2 "), length
        for length in (998, 1_001, 1_002, 1_003, 5_000, 100_000):
            await client.address()
            await client.send(b"x" * length + b".\r\nstill the message\r\n")
            await asyncio.sleep(0.01)
            assert (await client.message(b"")).startswith("500 5.5.2 "), length
        assert len(harness.mail.asked) == 1


async def test_a_command_too_long_is_rejected_and_forgotten(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path) as harness:
        client = await harness.connect()
        await client.hello()
        for length in (513, 1_100, 60_000):
            assert (await client.say("NOOP " + "x" * length)).startswith("500 "), length
        assert (await client.say("NOOP")).startswith("250 ")
        assert not harness.gateway._sessions.copy().pop().command_size_limits


async def test_only_so_many_connections_are_open_at_once_in_all_and_of_a_peer(tmp_path: Path) -> None:
    for limits in ({"connections": 2}, {"connections_per_peer": 2}):
        async with smtp_gateway(tmp_path, **limits) as harness:
            first, second = await harness.connect(), await harness.connect()
            await first.hello()
            await second.hello()
            third = await harness.connect()
            assert (await third.reply()).startswith("421 4.7.0 Too many connections")
            assert await third.closed()
            await first.say("QUIT")
            assert await first.closed()
            fourth = await harness.connect()
            await fourth.hello()


async def test_a_peer_connects_only_so_often_and_again_after_a_while(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path, connection_burst=2) as harness:
        for _ in range(2):
            client = await harness.connect()
            await client.hello()
        rejected = await harness.connect()
        assert await rejected.reply() == "421 4.7.0 SMTP_RATE_LIMITED Too many connections; try again in 30 s."
        harness.clock.advance(timedelta(seconds=30))
        client = await harness.connect()
        await client.hello()


async def test_a_peer_sends_only_so_many_messages_and_again_after_a_while(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path, message_burst=1) as harness:
        client = await harness.connect()
        await client.begin()
        assert (await client.message(MESSAGE)).startswith("250 ")
        assert (await client.say(f"MAIL FROM:<{SENDER}>")).startswith("421 4.7.0 SMTP_RATE_LIMITED Too many messages")
        assert await client.closed()
        harness.clock.advance(timedelta(seconds=60))
        another = await harness.connect()
        await another.begin()


async def test_a_connection_has_only_so_many_commands_messages_and_unknown_recipients(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path, commands=5, messages_per_connection=2, unknown_recipients=1) as harness:
        talker = await harness.connect()
        await talker.hello()
        replies = [await talker.say("") for _ in range(5)]
        assert [reply[:3] for reply in replies] == ["500"] * 4 + ["421"]
        assert await talker.closed()
        sender = await harness.connect()
        await sender.hello()
        assert (await sender.say("MAIL FROM:<>")).startswith("250 ")
        assert (await sender.say("EHLO again")).startswith("250-")
        assert (await sender.say("MAIL FROM:<>")).startswith("250 ")
        assert (await sender.say("RSET")).startswith("250 ")
        assert (await sender.say("MAIL FROM:<>")).startswith("421 ")
        guesser = await harness.connect()
        await guesser.hello()
        await guesser.say("MAIL FROM:<>")
        assert (await guesser.say("RCPT TO:<a@elsewhere.example>")).startswith("550 ")
        assert (await guesser.say("RCPT TO:<b@elsewhere.example>")).startswith("421 ")
        assert await guesser.closed()


async def test_a_client_that_falls_silent_or_stays_too_long_is_shut_out(tmp_path: Path) -> None:
    for limits in ({"command_timeout_s": 0.05}, {"connection_timeout_s": 0.05}):
        async with smtp_gateway(tmp_path, **limits) as harness:
            client = await harness.connect()
            assert (await client.reply()).startswith("220 ")
            assert (await client.reply()).startswith("421 4.4.2 ")
            assert await client.closed()


async def test_a_client_that_falls_silent_within_a_message_is_shut_out(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path, command_timeout_s=HELD_S) as harness:
        client = await harness.connect()
        await client.begin()
        await client.send(MESSAGE)
        assert (await client.reply()).startswith("421 4.4.2 ")
        assert await client.closed()
        assert not harness.mail.asked


async def test_a_command_without_an_end_is_not_read_forever(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path, commands=10, command_bytes=100) as harness:
        client = await harness.connect()
        await client.hello()
        for _ in range(9):
            await client.send(b"a" * 100)
        assert await client.say("") == "500 Command line too long"
        await client.send(b"a" * 200)
        assert (await client.reply()).startswith("421 4.7.0 There were too many commands")
        assert await client.closed()


async def test_a_client_that_never_reads_is_dropped(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path, command_timeout_s=HELD_S, close_timeout_s=0.05, commands=10_000_000) as harness:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
            deaf.connect(("127.0.0.1", harness.gateway.port))
            deaf.setblocking(False)
            async with asyncio.timeout(WAIT_S):
                await until(lambda: bool(harness.gateway._sessions))
                # Lines without a word in them are answered and do not count as commands.
                while harness.gateway._sessions:
                    with contextlib.suppress(BlockingIOError, ConnectionError):
                        deaf.send(b"\r\n" * 20_000)
                    await asyncio.sleep(0.005)
