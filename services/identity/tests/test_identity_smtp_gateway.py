"""The gateway's dialogue: what is taken, what each verdict and trouble is answered, and every guard and limit."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path

import pytest
import structlog
from apportion_common.errors import InvalidArgument, ResourceExhausted, Unavailable
from apportion_identity.domain.mail.types import Envelope
from apportion_identity.smtp.intake import peer_of, reply_of
from apportion_identity.smtp.mail import Verdict
from apportion_identity.smtp.paths import read_helo, read_mail, read_rcpt
from smtp_harness import CLAIM_DOMAIN, HELD_S, HOSTNAME, RECIPIENT, SENDER, WAIT_S, FakeMail, smtp_gateway, until

MESSAGE = b"From: ada@example.com\r\nTo: " + RECIPIENT.encode() + b"\r\n\r\nHello\r\n"


# --- what a message is answered ------------------------------------------------------------------------------


async def test_a_message_is_verified_as_it_came_and_answered_with_the_verdict(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path) as harness:
        client = await harness.connect()
        await client.begin()
        body = MESSAGE + b"..one dot\r\n \xe4\x00\r\n..\r\n"
        assert await client.message(body) == "250 2.6.0 VERIFIED The claim is verified."
        [(message, envelope)] = harness.mail.asked
        assert message == MESSAGE + b".one dot\r\n \xe4\x00\r\n.\r\n"
        assert envelope == Envelope("127.0.0.1", "client.example.com", SENDER, RECIPIENT, trusted_relay=True)
        assert await client.say("QUIT") == "221 Bye"
        assert await client.closed()


async def test_a_proof_that_waits_for_an_operator_is_taken_too(tmp_path: Path) -> None:
    mail = FakeMail(Verdict(proved=True, reason="CONFLICT", explanation="The proof is kept."))
    async with smtp_gateway(tmp_path, mail) as harness:
        client = await harness.connect()
        await client.begin()
        assert await client.message(MESSAGE) == "250 2.6.0 CONFLICT The proof is kept."


async def test_a_rejection_names_its_reason_in_ascii_and_no_line_is_too_long(tmp_path: Path) -> None:
    explanation = "Sign with\r\n250 a key für DKIM. " + "word " * 300
    mail = FakeMail(Verdict(proved=False, reason="DKIM_KEY_TOO_SHORT", explanation=explanation))
    async with smtp_gateway(tmp_path, mail) as harness:
        client = await harness.connect()
        await client.begin()
        lines = (await client.message(MESSAGE)).split("\n")
        assert lines[0].startswith("550-5.7.1 DKIM_KEY_TOO_SHORT Sign with??250 a key f?r DKIM. word")
        assert lines[-1].startswith("550 5.7.1 word")
        assert all(len(line) <= 510 for line in lines)
        assert (await client.say("NOOP")).startswith("250 ")


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (Unavailable("DNS_UNAVAILABLE", "DNS does not answer.", retry_after_s=60), "451 4.4.3 DNS_UNAVAILABLE DNS"),
        (ResourceExhausted("CLAIM_RATE_LIMITED", "Too many."), "452 4.7.0 CLAIM_RATE_LIMITED"),
        (InvalidArgument("CLIENT_IP_MALFORMED", "No address."), "550 5.6.0 CLIENT_IP_MALFORMED"),
        (RuntimeError("the password is hunter2"), "451 4.3.0 Something went wrong here; try again later."),
        (TimeoutError(), "451 4.3.0 Something"),
    ],
)
async def test_trouble_makes_the_sender_come_again_and_only_the_impossible_is_rejected(
    tmp_path: Path, error: Exception, reply: str
) -> None:
    async with smtp_gateway(tmp_path, FakeMail(error)) as harness:
        client = await harness.connect()
        await client.begin()
        assert (await client.message(MESSAGE)).startswith(reply)
        # The connection goes on, and so does the sender when the trouble is over.
        harness.mail.verdict = Verdict(proved=True, reason="VERIFIED", explanation="Done.")
        await client.address()
        assert (await client.message(MESSAGE)).startswith("250 ")
        assert harness.mail.asked[0] == harness.mail.asked[1]


@pytest.mark.parametrize(
    ("verdict", "code", "reason"),
    [
        (Verdict(False, "DKIM_EXPIRED", "The signature has expired."), "550", "DKIM_EXPIRED"),
        (Unavailable("DNS_UNAVAILABLE", "No answer.", retry_after_s=60), "451", "DNS_UNAVAILABLE"),
        (RuntimeError("secret"), "451", ""),
    ],
)
async def test_the_log_says_why_a_message_was_answered_as_it_was(
    tmp_path: Path, verdict: Verdict | Exception, code: str, reason: str
) -> None:
    async with smtp_gateway(tmp_path, FakeMail(verdict)) as harness:
        client = await harness.connect()
        await client.begin()
        with structlog.testing.capture_logs() as logs:
            await client.message(MESSAGE)
    (entry,) = [entry for entry in logs if entry["event"] == "smtp.message"]
    assert (entry["code"], entry["reason"], entry["bytes"]) == (code, reason, len(MESSAGE))
    assert SENDER not in str(logs)
    assert RECIPIENT not in str(logs)


async def test_a_verdict_that_takes_too_long_makes_the_sender_come_again(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path, FakeMail(wait=asyncio.Event()), verify_timeout_s=0.05) as harness:
        client = await harness.connect()
        await client.begin()
        assert (await client.message(MESSAGE)).startswith("451 4.3.0 ")


async def test_the_null_sender_is_an_empty_one(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path) as harness:
        client = await harness.connect()
        await client.hello()
        assert (await client.say("MAIL FROM:<>")).startswith("250 ")
        assert (await client.say(f"RCPT TO:<{RECIPIENT}>")).startswith("250 ")
        assert (await client.say("DATA")).startswith("354 ")
        assert (await client.message(MESSAGE)).startswith("250 ")
        assert harness.mail.asked[0][1].mail_from == ""


async def test_a_stock_client_is_served_with_and_without_tls(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path) as harness:

        def send(encrypted: bool) -> None:
            with smtplib.SMTP("127.0.0.1", harness.gateway.port, "client.example.com", timeout=WAIT_S) as client:
                if encrypted:
                    # The certificate names the server, which the library compares with what it connected to.
                    client._host = HOSTNAME
                    client.starttls(context=harness.trust)
                assert client.sendmail(SENDER, [RECIPIENT], MESSAGE) == {}

        await asyncio.to_thread(send, False)
        await asyncio.to_thread(send, True)
        assert [message for message, *_ in harness.mail.asked] == [MESSAGE, MESSAGE]


# --- who it is for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        ("<somebody@elsewhere.example>", "550 5.7.1 NO_RELAY"),
        (f"<claim-unknown@{CLAIM_DOMAIN}>", "550 5.1.1 NO_SUCH_CLAIM"),
        ("<postmaster>", "550 5.1.1 NO_SUCH_CLAIM"),
        (f"<x%elsewhere.example@{CLAIM_DOMAIN}>", "550 5.1.1 NO_SUCH_CLAIM"),
        (f"<@{CLAIM_DOMAIN}:somebody@elsewhere.example>", "501 5.5.4"),
        (f"<trouble@{CLAIM_DOMAIN}>", "451 4.3.0 Something went wrong here; try again later."),
        (f"<{RECIPIENT}> NOTIFY=NEVER", "555 5.5.4"),
        (RECIPIENT, "501 5.5.4"),
        ("<>", "501 5.5.4"),
        ("", "501 5.5.4"),
    ],
)
async def test_mail_is_taken_for_claims_only(tmp_path: Path, recipient: str, reply: str) -> None:
    async with smtp_gateway(tmp_path) as harness:
        client = await harness.connect()
        await client.hello()
        assert (await client.say(f"MAIL FROM:<{SENDER}>")).startswith("250 ")
        assert (await client.say(f"RCPT TO:{recipient}")).startswith(reply)
        assert (await client.say("DATA")).startswith("503 ")
        assert not harness.mail.asked


async def test_the_domain_of_a_claims_address_is_read_in_any_letter_case(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path) as harness:
        client = await harness.connect()
        await client.hello()
        local, _, domain = RECIPIENT.partition("@")
        assert (await client.say(f"MAIL FROM:<{SENDER}>")).startswith("250 ")
        await client.say(f"RCPT TO:<{local}@{domain.upper()}>")
        assert harness.mail.looked_up == [f"{local}@{domain.upper()}"]


async def test_a_message_has_one_recipient_and_others_are_told_to_come_again(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path) as harness:
        client = await harness.connect()
        await client.hello()
        await client.say(f"MAIL FROM:<{SENDER}>")
        assert (await client.say(f"RCPT TO:<{RECIPIENT}>")).startswith("250 ")
        assert (await client.say(f"RCPT TO:<{RECIPIENT}>")).startswith("452 4.5.3 ")


async def test_nothing_is_told_of_addresses_and_nobody_signs_in(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path) as harness:
        client = await harness.connect()
        await client.hello()
        assert await client.say(f"VRFY {RECIPIENT}") == await client.say("VRFY nobody@example.com")
        assert (await client.say("VRFY x")).startswith("252 ")
        assert (await client.say("EXPN staff")).startswith("502 ")
        assert (await client.say("AUTH PLAIN AGEAYg==")).startswith("500 ")
        assert (await client.say("HELP")).startswith("500 ")
        assert not harness.mail.looked_up


async def test_a_dialogue_out_of_order_is_rejected_step_by_step(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path) as harness:
        client = await harness.connect()
        await client.reply()
        assert (await client.say(f"MAIL FROM:<{SENDER}>")).startswith("503 ")
        assert (await client.say("HELO client.example.com")) == f"250 {HOSTNAME}"
        assert (await client.say(f"MAIL FROM:<{SENDER}> SIZE=1")).startswith("503 ")
        assert (await client.say(f"RCPT TO:<{RECIPIENT}>")).startswith("503 ")
        assert (await client.say("DATA")).startswith("503 ")
        assert (await client.say(f"MAIL FROM:<{SENDER}>")).startswith("250 ")
        assert (await client.say(f"MAIL FROM:<{SENDER}>")).startswith("503 ")
        assert (await client.say("DATA")).startswith("503 ")
        assert (await client.say(f"RCPT TO:<{RECIPIENT}>")).startswith("250 ")
        assert (await client.say("DATA now")).startswith("501 ")
        assert (await client.say("RSET")).startswith("250 ")
        assert (await client.say("DATA")).startswith("503 ")
        assert (await client.say("EHLO")).startswith("501 ")
        assert (await client.say("HELO two words")).startswith("501 ")


# --- ways round ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\r", b"\r\r\n.\r\n"])
async def test_a_line_end_that_is_none_ends_the_connection_with_nothing_verified(tmp_path: Path, end: bytes) -> None:
    async with smtp_gateway(tmp_path) as harness:
        client = await harness.connect()
        await client.begin()
        smuggled = f"MAIL FROM:<x@bank.example>\r\nRCPT TO:<{RECIPIENT}>\r\nDATA\r\n".encode()
        await client.send(MESSAGE + b"text" + end + smuggled)
        assert (await client.reply()).startswith("521 5.5.2 ")
        assert await client.closed()
        assert not harness.mail.asked


@pytest.mark.parametrize("command", [b"NOOP\n", b"NO\rOP\r\n", b"NOOP\r\r\n"])
async def test_a_command_that_ends_otherwise_ends_the_connection(tmp_path: Path, command: bytes) -> None:
    async with smtp_gateway(tmp_path) as harness:
        client = await harness.connect()
        await client.hello()
        await client.send(command)
        assert (await client.reply()).startswith("521 5.5.2 ")
        assert await client.closed()


async def test_a_line_end_in_two_packets_is_one(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path) as harness:
        client = await harness.connect()
        await client.hello()
        for part in (b"NOOP\r", b"\n"):
            await client.send(part)
            await asyncio.sleep(0.02)
        assert (await client.reply()).startswith("250 ")


async def test_what_follows_a_message_before_its_reply_is_taken_for_smuggled(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path) as harness:
        client = await harness.connect()
        await client.begin()
        await client.send(MESSAGE + b".\r\nMAIL FROM:<x@bank.example>\r\n")
        assert (await client.reply()).startswith("554 5.5.0 ")
        assert await client.closed()
        assert not harness.mail.asked


async def test_commands_are_not_taken_in_advance(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path) as harness:
        client = await harness.connect()
        await client.hello()
        await client.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{RECIPIENT}>\r\n".encode())
        assert (await client.reply()).startswith("554 5.5.0 ")
        assert await client.closed()


async def test_commands_sent_before_tls_are_not_carried_out_under_it(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path) as harness:
        client = await harness.connect()
        await client.hello()
        await client.send(b"STARTTLS\r\nMAIL FROM:<x@bank.example>\r\n")
        assert (await client.reply()).startswith("554 5.5.0 ")
        assert await client.closed()


async def test_under_tls_the_dialogue_begins_again_and_tls_is_offered_no_more(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path) as harness:
        client = await harness.connect()
        await client.reply()
        offers = (await client.say("EHLO client.example.com")).split("\n")
        assert offers == [f"250-{HOSTNAME}", "250-SIZE 1048576", "250-8BITMIME", "250 STARTTLS"]
        assert (await client.say(f"MAIL FROM:<{SENDER}>")).startswith("250 ")
        await client.start_tls(harness.trust)
        assert (await client.say(f"RCPT TO:<{RECIPIENT}>")).startswith("503 ")
        assert (await client.say(f"MAIL FROM:<{SENDER}>")).startswith("503 ")
        assert (await client.say("EHLO client.example.com")).split("\n")[-1] == "250 8BITMIME"
        assert (await client.say("STARTTLS")).startswith("503 ")
        await client.address()
        assert (await client.message(MESSAGE)).startswith("250 ")
        await client.send(b"NOOP\n")
        assert (await client.reply()).startswith("521 ")
        assert await client.closed()


async def test_a_failed_handshake_ends_one_connection_and_no_more(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path) as harness:
        client = await harness.connect()
        await client.hello()
        assert (await client.say("STARTTLS")).startswith("220 ")
        await client.send(b"this is no handshake at all\r\n" * 10)
        async with asyncio.timeout(WAIT_S):
            await client.closed()
        assert harness.gateway._sessions == set()
        another = await harness.connect()
        await another.hello()


async def test_a_handshake_that_never_ends_holds_no_place_forever(tmp_path: Path) -> None:
    async with smtp_gateway(tmp_path, command_timeout_s=HELD_S, close_timeout_s=0.05, connections=1) as harness:
        client = await harness.connect()
        await client.hello()
        assert (await client.say("STARTTLS")).startswith("220 ")
        await until(lambda: not harness.gateway._sessions)
        another = await harness.connect()
        await another.hello()


# --- when it opens and ends ----------------------------------------------------------------------------------


async def test_while_the_feature_is_closed_senders_wait(tmp_path: Path) -> None:
    opened = False
    async with smtp_gateway(tmp_path, is_open=lambda: opened) as harness:
        client = await harness.connect()
        await client.hello()
        assert (await client.say(f"MAIL FROM:<{SENDER}>")).startswith("421 4.3.2 ")
        assert await client.closed()
        opened = True
        again = await harness.connect()
        await again.begin()
        assert (await again.message(MESSAGE)).startswith("250 ")


async def test_at_the_end_a_verdict_in_the_making_is_said_and_nobody_else_is_let_in(tmp_path: Path) -> None:
    mail = FakeMail(wait=asyncio.Event())
    async with smtp_gateway(tmp_path, mail) as harness:
        assert mail.wait is not None
        busy, idle = await harness.connect(), await harness.connect()
        await busy.begin()
        await idle.hello()
        await busy.send(MESSAGE + b".\r\n")
        await until(lambda: bool(mail.asked))
        ending = asyncio.create_task(harness.gateway.stop(harness.server))
        assert (await idle.reply()).startswith("421 4.3.2 ")
        assert await idle.closed()
        mail.wait.set()
        assert (await busy.reply()).startswith("250 ")
        assert (await busy.reply()).startswith("421 4.3.2 ")
        await ending
        assert not harness.gateway._sessions


async def test_only_so_many_messages_are_verified_at_once(tmp_path: Path) -> None:
    mail = FakeMail(wait=asyncio.Event())
    async with smtp_gateway(tmp_path, mail, verifications=1) as harness:
        assert mail.wait is not None
        clients = [await harness.connect() for _ in range(3)]
        for client in clients:
            await client.begin()
            await client.send(MESSAGE + b".\r\n")
        await asyncio.sleep(0.1)
        assert len(mail.asked) == 1
        mail.wait.set()
        assert [(await client.reply())[:3] for client in clients] == ["250"] * 3


# --- words ---------------------------------------------------------------------------------------------------


def test_a_path_is_read_strictly() -> None:
    read = read_mail('FROM:<"a b"@[192.0.2.1]> SIZE=5 body=8bitmime')
    assert read is not None
    assert (read.address, read.domain) == ('"a b"@[192.0.2.1]', "[192.0.2.1]")
    assert read.parameters == (("SIZE", "5"), ("BODY", "8bitmime"))
    good = ["from:<a@b>", "FROM: <a@b>", "FROM:<>", "FROM:<a.b+c@x-y.example> "]
    bad = [
        None, "", "FROM:", "FROM:a@b", "FROM:<a>", "FROM:<a@>", "FROM:<@b>", "FROM:<a@b", "FROM:<a@b>x",
        "FROM:<a..b@c>", "FROM:<a@b>\0", "FROM:<a b@c>", "FROM:<a@b c>", "FROM:<a@-b>", "FROM:<a@b.>", "FROM:<a@b@c>",
        "TO:<a@b>", f"FROM:<{'a' * 65}@b>", f"FROM:<a@{'b.' * 127}b>", "FROM:<a@b> =x", "FROM:<a@b> X=",
        "FROM:<a@b>\tX=1",
    ]  # fmt: skip
    assert all(read_mail(text) is not None for text in good)
    assert [text for text in bad if read_mail(text) is not None] == []
    assert read_rcpt("TO:<PostMaster>") is not None
    assert read_rcpt("TO:<>") is None
    assert read_helo("[IPv6:::1]") == "[IPv6:::1]"
    assert [read_helo(text) for text in (None, "", "a b", "a\0", "x" * 256)] == [None] * 5


def test_a_peer_is_an_ipv4_address_or_an_ipv6_network() -> None:
    assert peer_of("192.0.2.1") == "192.0.2.1"
    assert peer_of("2001:db8::1") == peer_of("2001:db8::ffff:1") != peer_of("2001:db8:0:1::1")
    assert peer_of("") == ""


def test_no_text_can_write_a_reply_of_its_own() -> None:
    assert reply_of("550 5.7.1", "no\r\n250 yes\x7f\x00é") == "550 5.7.1 no??250 yes???"
    assert reply_of("550 5.7.1", "") == "550 5.7.1"
