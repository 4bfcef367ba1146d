"""Verifying with the DNS at hand: rounds of questions, trouble that decides nothing, and bounds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from apportion_common.errors import Unavailable
from apportion_dev.testing.clocks import FixedClock
from apportion_identity.app import verify_mail
from apportion_identity.app.verify_mail import MailVerifier
from apportion_identity.domain.mail.message import Message, read_message
from apportion_identity.domain.mail.types import DnsAnswer, DnsQuestion, Verification
from mail_maker import (
    ADDRESS,
    DOMAIN,
    NOW_S,
    FakeDns,
    FewSuffixes,
    Signer,
    found,
    make_envelope,
    make_message,
    reason_of,
)

SIGNER = Signer()
SIGNED = SIGNER.sign(make_message())
RELAYED = make_envelope(trusted_relay=True)


def verifier(dns: FakeDns) -> MailVerifier:
    return MailVerifier(dns, FewSuffixes(), FixedClock(datetime.fromtimestamp(NOW_S, UTC)))


async def verified(dns: FakeDns, raw: bytes | Message = SIGNED, **envelope: object) -> Verification:
    return await verifier(dns).verify(raw, RELAYED if envelope else make_envelope(), domain=DOMAIN, address=ADDRESS)


async def test_a_signed_message_is_verified_after_one_round_of_questions() -> None:
    dns = FakeDns(SIGNER.dns())
    assert reason_of(await verified(dns)) == "VERIFIED"
    assert sorted(question.name for question in dns.asked) == [
        "_dmarc.acme.com",
        "_dmarc.com",
        "mail._domainkey.acme.com",
    ]


async def test_a_message_that_was_read_already_is_verified_alike() -> None:
    message = read_message(SIGNED)
    assert isinstance(message, Message)
    assert await verified(FakeDns(SIGNER.dns()), message) == await verified(FakeDns(SIGNER.dns()))


async def test_an_unreadable_message_is_rejected_without_a_question() -> None:
    dns = FakeDns()
    assert reason_of(await verified(dns, SIGNED.replace(b"\r\n", b"\n"))) == "MESSAGE_BARE_NEWLINE"
    assert dns.asked == []


@pytest.mark.parametrize("state", ["servfail", "timeout"])
async def test_the_same_message_verifies_once_the_dns_is_back(state: str) -> None:
    dns = FakeDns({SIGNER.question: DnsAnswer(state)})  # type: ignore[arg-type]
    with pytest.raises(Unavailable) as trouble:
        await verified(dns)
    assert trouble.value.reason == "DNS_UNAVAILABLE"
    assert trouble.value.retry_after_s == 60
    assert "no answer for TXT mail._domainkey.acme.com;" in trouble.value.message
    dns.records = SIGNER.dns()
    assert reason_of(await verified(dns)) == "VERIFIED"


def test_a_question_is_told_without_what_cannot_be_printed() -> None:
    assert DnsQuestion("a\x1b[2J\r\n\u00e9.com", "TXT").text == "TXT a\\x1b[2J\\r\\n\\xe9.com"


async def test_the_includes_of_spf_are_followed_round_by_round() -> None:
    dns = FakeDns({DnsQuestion(DOMAIN, "TXT"): found(b"v=spf1 include:a1.example.com -all")})
    for number in range(1, 9):
        record = f"v=spf1 include:a{number + 1}.example.com -all".encode()
        dns.records[DnsQuestion(f"a{number}.example.com", "TXT")] = found(record)
    dns.records[DnsQuestion("a9.example.com", "TXT")] = found(b"v=spf1 ip4:192.0.2.1 -all")
    verification = await verified(dns, make_message(), trusted_relay=True)
    assert reason_of(verification) == "VERIFIED"
    assert verification.evidence.aligned_by_spf


@pytest.mark.parametrize(("limit", "value"), [("VERIFICATION_ROUNDS_MAX", 1), ("VERIFICATION_QUESTIONS_MAX", 2)])
async def test_a_message_that_asks_for_too_much_is_rejected(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(verify_mail, limit, value)
    verification = await verified(FakeDns(SIGNER.dns()))
    assert reason_of(verification) == "DNS_QUESTIONS_TOO_MANY"
    assert not verification.message_key
