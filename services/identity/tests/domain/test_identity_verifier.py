"""The verifier of mails: what proves a domain, and every way round that it closes, each with its reason."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest
from apportion_identity.domain.mail import message as messages
from apportion_identity.domain.mail.message import Message, read_message
from apportion_identity.domain.mail.types import Answer, DnsTrouble, Envelope, NeedsAnswers, Question, Verification
from apportion_identity.domain.mail.verifier import REASONS, addresses_of, verify
from apportion_identity.limits import HEADERS_MAX, MESSAGE_BYTES_MAX, SIGNATURE_CLOCK_SLOP_S, SIGNATURES_MAX
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mail_maker import (
    ADDRESS,
    DOMAIN,
    HEADERS,
    NOW_S,
    FewSuffixes,
    Signer,
    found,
    make_envelope,
    make_message,
    reason_of,
    verified,
)

OURS = Signer()
EVIL = Signer("evil.com", "mail")
LATER_S = NOW_S + SIGNATURE_CLOCK_SLOP_S
DMARC = Question(f"_dmarc.{DOMAIN}", "TXT")
SPF = Question(DOMAIN, "TXT")
SERVFAIL = Answer("servfail")


@dataclass
class Try:
    """A message with its surroundings, as somebody would send it who wants to have `domain`."""

    raw: bytes
    dns: Mapping[Question, Answer] = field(default_factory=OURS.dns)
    envelope: Envelope = field(default_factory=make_envelope)
    domain: str = DOMAIN

    def verified(self) -> Verification:
        return verified(self.raw, self.dns, envelope=self.envelope, domain=self.domain)


def signed(**parts: object) -> bytes:
    """A message of these parts, signed by our server."""
    return OURS.sign(make_message(**parts))  # type: ignore[arg-type]


def with_tags(**tags: str | None) -> bytes:
    return OURS.sign(make_message(), tags=tags)


def with_key(**tags: str | None) -> Try:
    return Try(signed(), OURS.dns(**tags))


def with_field(name: str, value: str) -> Try:
    """Our message with one more field, which is signed too."""
    return Try(OURS.sign(make_message(more=[(name, value)]), headers=(*HEADERS, name.lower())))


def short_key(bits: int) -> str:
    """A public key of so many bits; nobody has the private one, which does not matter to who checks the length."""
    key = RSAPublicNumbers(65537, (1 << bits) - 1).public_key()
    return b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def from_address(local_part: str) -> Try:
    return Try(signed(author=f"{local_part}@{DOMAIN}"))


def with_part(content_type: str) -> Try:
    """A message of two parts, the second of which is of that type."""
    parts = "".join(f"--b\r\nContent-Type: {one}\r\n\r\nx\r\n" for one in ("text/plain", content_type))
    return Try(signed(more=[("Content-Type", "multipart/mixed; boundary=b")], body=f"{parts}--b--\r\n".encode()))


def encoded(text: str) -> str:
    return f"=?utf-8?b?{b64encode(text.encode()).decode()}?="


WAYS_ROUND: list[tuple[str, str, Callable[[], Try]]] = [
    # Several authors, or one that is not what it seems.
    ("no From at all", "FROM_ABSENT", lambda: Try(make_message().partition(b"\r\n")[2])),
    ("From in the body only", "FROM_ABSENT", lambda: Try(b"Subject: x\r\n\r\nFrom: ann@acme.com\r\n")),
    ("a second From above the signature", "FROM_REPEATED", lambda: Try(b"From: eve@evil.com\r\n" + signed())),
    (
        "two From fields that are both signed",
        "FROM_REPEATED",
        lambda: Try(OURS.sign(b"From: eve@evil.com\r\n" + make_message())),
    ),
    ("two mailboxes in From", "FROM_SEVERAL_MAILBOXES", lambda: Try(signed(author="ann@acme.com, eve@evil.com"))),
    ("a group in From", "FROM_GROUP", lambda: Try(signed(author="team: ann@acme.com;"))),
    ("a colon in the display name", "FROM_GROUP", lambda: Try(signed(author="Mail From: <ann@acme.com>"))),
    ("a route in From", "FROM_ROUTE", lambda: Try(signed(author="<@evil.com:ann@acme.com>"))),
    (
        "our address as the display name of another",
        "FROM_NOT_THE_DOMAIN",
        lambda: Try(EVIL.sign(make_message(author='"ann@acme.com" <eve@evil.com>')), EVIL.dns()),
    ),
    (
        "our address in a comment beside another",
        "FROM_NOT_THE_DOMAIN",
        lambda: Try(EVIL.sign(make_message(author="eve@evil.com (ann@acme.com)")), EVIL.dns()),
    ),
    (
        "an encoded display name that hides an address",
        "FROM_ENCODED",
        lambda: Try(signed(author=f"{encoded('<eve@evil.com>')} <ann@acme.com>")),
    ),
    ("an encoded word for a local part", "FROM_ENCODED", lambda: Try(signed(author="=?utf-8?q?ann?=@acme.com"))),
    (
        "an address on a line of its own within quotes",
        "FROM_FOLDED",
        lambda: Try(signed(author='"Owner,\r\n <eve@evil.com>,\r\n Ann" <ann@acme.com>')),
    ),
    ("two addresses side by side", "FROM_MALFORMED", lambda: Try(signed(author="<eve@evil.com>ann@acme.com"))),
    ("a full stop in the display name", "FROM_OBSOLETE_SYNTAX", lambda: Try(signed(author="A. Owner <ann@acme.com>"))),
    ("a comment inside the address", "FROM_OBSOLETE_SYNTAX", lambda: Try(signed(author="<ann@(x)acme.com>"))),
    ("a quoted local part", "FROM_LOCAL_PART", lambda: Try(signed(author='"ann@evil.com"@acme.com'))),
    ("a local part beyond ASCII", "FROM_LOCAL_PART", lambda: Try(signed(author="änn@acme.com"))),
    ("an address literal", "FROM_DOMAIN_LITERAL", lambda: Try(signed(author="ann@[192.0.2.1]"))),
    ("a final full stop", "FROM_DOMAIN_MALFORMED", lambda: Try(signed(author="ann@acme.com."))),
    ("a Kelvin sign that normalises to k", "FROM_DOMAIN_MALFORMED", lambda: Try(signed(author="ann@\u212aacme.com"))),
    ("a full-width full stop", "FROM_DOMAIN_MALFORMED", lambda: Try(signed(author="ann@acme\uff0ecom"))),
    ("a display name alone", "FROM_NO_ADDRESS", lambda: Try(signed(author="Ann Owner"))),
    (
        "a From of more than 4 KiB",
        "FROM_TOO_LONG",
        lambda: Try(signed(author="\r\n ".join(["a" * 900] * 5) + " <ann@acme.com>")),
    ),
    (
        "a line separator in the display name",
        "FROM_CONTROL_CHARACTER",
        lambda: Try(signed(author='"Ann\u2028From: eve@evil.com" <ann@acme.com>')),
    ),
    # Another domain than the claimed one.
    (
        "a subdomain for the domain",
        "FROM_BELOW_THE_DOMAIN",
        lambda: Try(OURS.sign(make_message(author="ann@sub.acme.com"))),
    ),
    ("the domain for a subdomain", "FROM_ABOVE_THE_DOMAIN", lambda: Try(signed(), domain="sub.acme.com")),
    ("a name that only ends alike", "FROM_NOT_THE_DOMAIN", lambda: Try(signed(author="ann@notacme.com"))),
    (
        "a look-alike in Cyrillic",
        "FROM_NOT_THE_DOMAIN",
        lambda: Try(
            Signer("xn--cme-8cd.com").sign(make_message(author="ann@\u0430cme.com")), Signer("xn--cme-8cd.com").dns()
        ),
    ),
    (
        "a public suffix by the list",
        "PUBLIC_SUFFIX",
        lambda: Try(
            Signer("github.io").sign(make_message(author="ann@github.io")),
            Signer("github.io").dns(),
            domain="github.io",
        ),
    ),
    (
        "a public suffix by its own record",
        "DOMAIN_SAYS_PUBLIC_SUFFIX",
        lambda: Try(signed(), OURS.dns() | {DMARC: found(b"v=DMARC1; p=none; psd=y")}),
    ),
    # Bytes that servers read differently.
    ("a NUL in the header", "MESSAGE_NUL", lambda: Try(signed().replace(b"Ann", b"A\0n"))),
    ("a NUL in the body", "MESSAGE_NUL", lambda: Try(signed(body=b"a\0b\r\n"))),
    ("a bare CR before a second From", "MESSAGE_BARE_NEWLINE", lambda: Try(signed(subject="x\rFrom: eve@evil.com"))),
    ("a bare LF in the body", "MESSAGE_BARE_NEWLINE", lambda: Try(signed(body=b"a\nb\r\n"))),
    ("lines that end in LF", "MESSAGE_BARE_NEWLINE", lambda: Try(signed().replace(b"\r\n", b"\n"))),
    (
        "a first line that begins with a space",
        "HEADER_LEADING_SPACE",
        lambda: Try(b" From: eve@evil.com\r\n" + signed()),
    ),
    (
        "a space before the colon",
        "HEADER_SPACE_BEFORE_COLON",
        lambda: Try(signed().replace(b"From:", b"From :")),
    ),
    ("a folded field name", "HEADER_MALFORMED", lambda: Try(signed().replace(b"From:", b"From\r\n :"))),
    ("a mailbox line among the fields", "HEADER_MALFORMED", lambda: Try(b"From eve@evil.com\r\n" + signed())),
    (
        "a fold of white space alone",
        "HEADER_BLANK_FOLD",
        lambda: Try(signed().replace(b"Ann Owner", b"Ann\r\n \r\n Owner")),
    ),
    ("a control character", "HEADER_CONTROL_CHARACTER", lambda: Try(signed(author="Ann\x0b <ann@acme.com>"))),
    ("Latin-1 in From", "HEADER_NOT_UTF8", lambda: Try(signed(author=b"\xc4nn <ann@acme.com>"))),
    ("a line of 999 characters", "HEADER_LINE_TOO_LONG", lambda: Try(signed(subject="x" * 990))),
    (
        "more than 1,000 fields",
        "HEADERS_TOO_MANY",
        lambda: Try(signed().replace(b"\r\n", b"\r\n" + b"X-A: b\r\n" * HEADERS_MAX, 1)),
    ),
    ("more than 1 MiB", "MESSAGE_TOO_LARGE", lambda: Try(signed(body=b"x" * MESSAGE_BYTES_MAX))),
    (
        "more than ten signatures",
        "SIGNATURES_TOO_MANY",
        lambda: Try(b"DKIM-Signature: v=1\r\n" * SIGNATURES_MAX + signed()),
    ),
    # Fields that were added, left unsigned or doubled.
    ("a second Subject", "HEADER_REPEATED", lambda: Try(b"Subject: other\r\n" + signed())),
    (
        "a second field of a signed name",
        "DKIM_SIGNED_HEADER_REPEATED",
        lambda: Try(b"X-Note: added\r\n" + with_field("X-Note", "ours").raw),
    ),
    (
        "From is not signed",
        "DKIM_FROM_NOT_SIGNED",
        lambda: Try(OURS.sign(make_message(), headers=("to", "subject", "date"))),
    ),
    ("To is not signed", "DKIM_TO_NOT_SIGNED", lambda: Try(OURS.sign(make_message(), headers=("from", "subject")))),
    # Recipients.
    ("no To", "TO_ABSENT", lambda: Try(signed(to=None))),
    (
        "the claim's address as a second recipient",
        "TO_SEVERAL_MAILBOXES",
        lambda: Try(signed(to=f"eve@evil.com, {ADDRESS}")),
    ),
    ("a second To", "TO_SEVERAL_MAILBOXES", lambda: Try(b"To: eve@evil.com\r\n" + signed())),
    ("a group in To", "TO_MALFORMED", lambda: Try(signed(to=f"friends: {ADDRESS};"))),
    ("an old message to another address", "TO_NOT_THE_CLAIM", lambda: Try(signed(to="claim-old@claims.apportion.dev"))),
    (
        "the claim's address as To's display name",
        "TO_NOT_THE_CLAIM",
        lambda: Try(signed(to=f'"{ADDRESS}" <eve@evil.com>')),
    ),
    (
        "delivered for another address",
        "RECIPIENT_NOT_THE_CLAIM",
        lambda: Try(signed(), envelope=make_envelope(rcpt_to="claim-old@claims.apportion.dev")),
    ),
    # Mail that nobody wrote, or that a stranger brought about.
    ("the null sender", "NULL_SENDER", lambda: Try(signed(), envelope=make_envelope(mail_from=""))),
    ("the null sender in brackets", "NULL_SENDER", lambda: Try(signed(), envelope=make_envelope(mail_from="<>"))),
    ("a Return-Path of the null sender", "NULL_SENDER", lambda: with_field("Return-Path", "<>")),
    ("Auto-Submitted: auto-replied", "AUTO_SUBMITTED", lambda: with_field("Auto-Submitted", "auto-replied")),
    ("Auto-Submitted in capitals", "AUTO_SUBMITTED", lambda: with_field("Auto-Submitted", "Auto-Generated; x=y")),
    ("X-Autoreply", "AUTO_REPLY", lambda: with_field("X-Autoreply", "yes")),
    ("an out-of-office subject", "AUTO_REPLY", lambda: Try(signed(subject="Automatic reply: We claim"))),
    ("Precedence: bulk", "BULK_MAIL", lambda: with_field("Precedence", "bulk")),
    ("Precedence behind a comment", "BULK_MAIL", lambda: with_field("Precedence", "(a list) bulk")),
    ("Precedence: auto_reply", "BULK_MAIL", lambda: with_field("Precedence", "auto_reply")),
    ("an out-of-office subject with a name", "AUTO_REPLY", lambda: Try(signed(subject="Ann is out of the office"))),
    ("a subject behind a run of spaces", "AUTO_REPLY", lambda: Try(signed(subject="=?utf-8?q?auto___reply___:?="))),
    ("a ticket's number", "AUTO_REPLY", lambda: Try(signed(subject="[Acme #4711] We have received your request"))),
    ("a rule that answers in a mailbox", "AUTO_REPLY", lambda: with_field("X-MS-Exchange-Inbox-Rules-Loop", "a@b.c")),
    (
        "a mail program that unsubscribes",
        "AUTO_REPLY",
        lambda: Try(signed(subject="x", body=b"This message was automatically generated by Gmail.\r\n")),
    ),
    ("an unsubscription", "AUTO_REPLY", lambda: Try(signed(subject="Unsubscribe"))),
    (
        "a list's mail without its fields",
        "LIST_MAIL",
        lambda: Try(signed(author="\"'Eve' via Staff\" <staff@acme.com>")),
    ),
    ("a shared document", "LIST_MAIL", lambda: Try(signed(author='"Eve (via =?utf-8?q?Drive=29?=" <d@acme.com>'))),
    ("a list of old software", "LIST_MAIL", lambda: with_field("X-BeenThere", "all@acme.com")),
    ("a list's mail", "LIST_MAIL", lambda: with_field("List-Id", "<all.acme.com>")),
    ("a newsletter", "LIST_MAIL", lambda: with_field("List-Unsubscribe", "<mailto:x@acme.com>")),
    ("a message that was sent on", "RESENT_MAIL", lambda: with_field("Resent-From", "ann@acme.com")),
    (
        "a delivery report",
        "DELIVERY_REPORT",
        lambda: with_field("Content-Type", "multipart/report; report-type=delivery-status; boundary=b"),
    ),
    ("a bounce of an old server", "DELIVERY_REPORT", lambda: with_field("X-Failed-Recipients", "ann@acme.com")),
    (
        "a delivery report that a gateway has wrapped",
        "DELIVERY_REPORT",
        lambda: with_part("Multipart/Report; report-type=delivery-status; boundary=c"),
    ),
    ("a read receipt in a wrapping", "DELIVERY_REPORT", lambda: with_part("message/disposition-notification")),
    (
        "a report on a stranger's domain that its DMARC record asked for",
        "DELIVERY_REPORT",
        lambda: with_part('application/gzip; name="acme.com!evil.com!1749945600!1750031999.xml.gz"'),
    ),
    (
        "such a report, by its subject",
        "DELIVERY_REPORT",
        lambda: Try(signed(subject="[Preview] Report Domain: evil.com Submitter: acme.com Report-ID: 1")),
    ),
    ("a report on TLS", "DELIVERY_REPORT", lambda: with_field("TLS-Report-Submitter", "acme.com")),
    ("a room that accepts an invitation", "CALENDAR_MAIL", lambda: with_part("text/calendar; method=REPLY")),
    ("an answer of a calendar alone", "CALENDAR_MAIL", lambda: with_field("Content-Type", "Text/Calendar")),
    ("a program's address", "ROBOT_SENDER", lambda: from_address("no-reply")),
    ("a program's address among other words", "ROBOT_SENDER", lambda: from_address("Accounts-NoReply+x1")),
    ("a program's address by a word", "ROBOT_SENDER", lambda: from_address("shop.notifications")),
    ("a mail server's own address", "ROBOT_SENDER", lambda: from_address("MAILER-DAEMON")),
    ("a web form", "SENT_BY_PROGRAM", lambda: with_field("X-PHP-Originating-Script", "33:contact.php")),
    ("a web form by its library", "SENT_BY_PROGRAM", lambda: with_field("X-Mailer", "PHPMailer 6.9.1")),
    ("a ticket system", "SENT_BY_PROGRAM", lambda: with_field("RT-Ticket", "acme.com #1")),
    ("what asks for no answers", "SENT_BY_PROGRAM", lambda: with_field("X-Auto-Response-Suppress", "All")),
    ("a reply behind a tag", "REPLY", lambda: Try(signed(subject="[Acme] (intern) Re: your order"))),
    ("a reply", "REPLY", lambda: with_field("In-Reply-To", "<trap@evil.com>")),
    ("a reply within a thread", "REPLY", lambda: with_field("References", "<trap@evil.com>")),
    ("a reply to a message without an id", "REPLY", lambda: Try(signed(subject="RE: your order"))),
    ("a reply in another language", "REPLY", lambda: Try(signed(subject=f"{encoded('回复：')} order"))),
    # Signatures.
    ("no signature", "NOT_SIGNED", lambda: Try(make_message())),
    (
        "another server's word for it",
        "NOT_SIGNED",
        lambda: Try(
            b"Authentication-Results: mx.acme.com; dkim=pass header.d=acme.com; spf=pass; dmarc=pass\r\n"
            b"Received-SPF: pass (acme.com)\r\nARC-Authentication-Results: i=1; dkim=pass header.d=acme.com\r\n"
            b"ARC-Seal: i=1; cv=pass; d=acme.com; s=mail; a=rsa-sha256; b=AAAA\r\n" + make_message()
        ),
    ),
    ("another domain's signature", "DKIM_NOT_ALIGNED", lambda: Try(EVIL.sign(make_message()), EVIL.dns())),
    (
        "the signature of a subdomain",
        "DKIM_NOT_ALIGNED",
        lambda: Try(Signer("sub.acme.com").sign(make_message()), Signer("sub.acme.com").dns()),
    ),
    (
        "the signature of a top-level domain",
        "DKIM_NOT_ALIGNED",
        lambda: Try(Signer("com").sign(make_message()), Signer("com").dns()),
    ),
    (
        "rsa-sha1",
        "DKIM_RSA_SHA1",
        lambda: Try(Signer(algorithm="rsa-sha1").sign(make_message()), Signer(algorithm="rsa-sha1").dns()),
    ),
    ("an unknown algorithm", "DKIM_ALGORITHM", lambda: Try(with_tags(a="rsa-md5"))),
    (
        "a key of 512 bits",
        "DKIM_KEY_TOO_SHORT",
        lambda: Try(Signer(bits=512).sign(make_message()), Signer(bits=512).dns()),
    ),
    ("a key of 1023 bits", "DKIM_KEY_TOO_SHORT", lambda: with_key(p=short_key(1023))),
    ("a key of 4097 bits", "DKIM_KEY_TOO_LONG", lambda: with_key(p=short_key(4097))),
    ("a key in test mode", "DKIM_KEY_TESTING", lambda: with_key(t="y")),
    ("a key in test mode among other flags", "DKIM_KEY_TESTING", lambda: with_key(t="s : y")),
    ("a key for SHA-1 alone", "DKIM_KEY_HASH", lambda: with_key(h="sha1")),
    ("a key for another service", "DKIM_KEY_SERVICE", lambda: with_key(s="tlsrpt")),
    (
        "a key for its own domain alone",
        "DKIM_KEY_STRICT",
        lambda: Try(with_tags(i="@sub.acme.com"), OURS.dns(t="s")),
    ),
    ("a revoked key", "DKIM_KEY_REVOKED", lambda: with_key(p="")),
    ("no key", "DKIM_KEY_ABSENT", lambda: Try(signed(), {})),
    (
        "two keys under one name",
        "DKIM_KEY_SEVERAL",
        lambda: Try(signed(), {OURS.question: found(OURS.record(), Signer(serial=1).record())}),
    ),
    ("a key of another kind", "DKIM_KEY_TYPE", lambda: Try(signed(), Signer(algorithm="ed25519-sha256").dns())),
    ("a key of another version", "DKIM_KEY_MALFORMED", lambda: with_key(v="DKIM2")),
    ("another key", "DKIM_SIGNATURE_WRONG", lambda: Try(signed(), Signer(serial=1).dns())),
    (
        "an expired signature",
        "DKIM_EXPIRED",
        lambda: Try(OURS.sign(make_message(), expires_at_s=NOW_S - 301, signed_at_s=1)),
    ),
    (
        "a signature from the future",
        "DKIM_FROM_FUTURE",
        lambda: Try(OURS.sign(make_message(), signed_at_s=LATER_S + 1)),
    ),
    (
        "a body that goes on behind the signed length",
        "DKIM_BODY_LENGTH",
        lambda: Try(OURS.sign(make_message(), body_length=5) + b"and a lie\r\n"),
    ),
    ("a signed length of the whole body", "DKIM_BODY_LENGTH", lambda: Try(OURS.sign(make_message(), body_length=22))),
    ("an identity outside of the domain", "DKIM_IDENTITY_OUTSIDE", lambda: Try(with_tags(i="@evil.com"))),
    ("an identity that only ends alike", "DKIM_IDENTITY_OUTSIDE", lambda: Try(with_tags(i="@notacme.com"))),
    ("another version", "DKIM_VERSION", lambda: Try(with_tags(v="2"))),
    ("no selector", "DKIM_TAG_MISSING", lambda: Try(with_tags(s=None))),
    (
        "an unknown canonicalization",
        "DKIM_CANONICALIZATION",
        lambda: Try(signed().replace(b"relaxed/relaxed", b"nowsp/simple")),
    ),
    ("a key from elsewhere than the DNS", "DKIM_QUERY_METHOD", lambda: Try(with_tags(q="http"))),
    ("a selector that is no name", "DKIM_DOMAIN_MALFORMED", lambda: Try(with_tags(s="mail..x"))),
    ("a tag twice", "DKIM_TAGS_MALFORMED", lambda: Try(signed().replace(b"; s=mail", b"; s=mail; s=mail"))),
    ("a time that is no number", "DKIM_TAGS_MALFORMED", lambda: Try(with_tags(t="-1"))),
    ("an expiry before the signing", "DKIM_TAGS_MALFORMED", lambda: Try(with_tags(t="2000000000", x="1999999999"))),
    ("another body", "DKIM_BODY_CHANGED", lambda: Try(signed() + b"P.S.\r\n")),
    ("another display name", "DKIM_SIGNATURE_WRONG", lambda: Try(signed().replace(b"Ann Owner", b"Eve Owner"))),
    # SPF.
    (
        "SPF from a server that nobody trusts",
        "NOT_SIGNED",
        lambda: Try(make_message(), {SPF: found(b"v=spf1 ip4:192.0.2.1 -all")}),
    ),
    (
        "SPF of another domain",
        "NOT_SIGNED",
        lambda: Try(
            make_message(),
            {Question("evil.com", "TXT"): found(b"v=spf1 +all")},
            make_envelope(mail_from="eve@evil.com", trusted_relay=True),
        ),
    ),
    (
        "SPF that does not allow the server",
        "SPF_NOT_PASSED",
        lambda: Try(make_message(), {SPF: found(b"v=spf1 -all")}, make_envelope(trusted_relay=True)),
    ),
    (
        "SPF that allows every server",
        "SPF_FOR_EVERYBODY",
        lambda: Try(make_message(), {SPF: found(b"v=spf1 +all")}, make_envelope(trusted_relay=True)),
    ),
]

# Reasons that no message can have by this path, each with why.
ELSEWHERE = {
    "FROM_NOT_UTF8": "the header as a whole is refused before (HEADER_NOT_UTF8)",
    "DKIM_KEY_UNAVAILABLE": "it decides nothing: the caller is told to try again",
}


@pytest.mark.parametrize(("reason", "attempt"), [way[1:] for way in WAYS_ROUND], ids=[way[0] for way in WAYS_ROUND])
def test_a_way_round_is_refused_with_its_reason(reason: str, attempt: Callable[[], Try]) -> None:
    verification = attempt().verified()
    assert reason_of(verification) == reason
    assert not verification.message_key
    assert verification.rejection is not None
    assert verification.rejection.explanation.endswith(".")
    assert "  " not in verification.rejection.explanation


def test_every_reason_is_met_by_a_way_round() -> None:
    assert {way[1] for way in WAYS_ROUND} | ELSEWHERE.keys() == REASONS.keys() | messages.REASONS.keys()


@pytest.mark.parametrize("canonicalization", ["simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"])
@pytest.mark.parametrize(("algorithm", "bits"), [("rsa-sha256", 1024), ("rsa-sha256", 2048), ("ed25519-sha256", 0)])
def test_an_ordinary_signed_message_proves_its_domain(algorithm: str, bits: int, canonicalization: str) -> None:
    signer = Signer(algorithm=algorithm, bits=bits)
    verification = verified(signer.sign(make_message(), canonicalization), signer.dns())
    assert verification.rejection is None
    assert verification.evidence.aligned_by_dkim
    assert not verification.evidence.aligned_by_spf
    assert [finding.result for finding in verification.evidence.dkim] == ["pass"]


@pytest.mark.parametrize(
    "author",
    [
        "ann@acme.com",
        "Ann <ANN@ACME.COM>",
        "Via Roma Ltd <via@acme.com>",
        "Silvia Rossi <ann@acme.com>",
        '"Owner, Ann" <ann@acme.com>',
        "(Ann) ann@acme.com (Owner)",
        "Änn Öwner <ann@acme.com>",
        f"{encoded('Öwner, Ann')} <ann@acme.com>",
        "Ann\r\n Owner\r\n\t<ann@acme.com>",
    ],
)
def test_ordinary_spellings_of_from_prove_the_domain(author: str) -> None:
    assert Try(signed(author=author)).verified().rejection is None


def test_an_internationalised_domain_is_proved_in_either_spelling() -> None:
    signer = Signer("xn--mller-kva.de")
    for author in ("ann@müller.de", "ann@xn--mller-kva.de"):
        assert (
            verified(signer.sign(make_message(author=author)), signer.dns(), domain="xn--mller-kva.de").rejection
            is None
        )


@pytest.mark.parametrize(
    "records", [{}, {DMARC: found(b"v=DMARC1; p=none")}, {DMARC: found(b"v=DMARC1; p=reject; psd=n")}]
)
def test_no_policy_or_any_policy_is_allowed_and_recorded(records: dict[Question, Answer]) -> None:
    verification = verified(signed(), OURS.dns() | records)
    assert verification.rejection is None
    assert verification.evidence.dmarc_policy == (
        "" if not records else "reject" if b"reject" in str(records).encode() else "none"
    )


def test_times_within_the_slop_of_a_clock_are_taken() -> None:
    assert Try(OURS.sign(make_message(), signed_at_s=LATER_S)).verified().rejection is None
    assert Try(OURS.sign(make_message(), signed_at_s=1, expires_at_s=NOW_S - 300)).verified().rejection is None


def test_one_good_signature_is_enough_whatever_the_others_are() -> None:
    raw = b"DKIM-Signature: rubbish\r\n" + EVIL.sign(signed())
    verification = verified(raw, OURS.dns() | EVIL.dns())
    assert verification.rejection is None
    assert [(one.result, one.reason) for one in verification.evidence.dkim] == [
        ("permerror", "DKIM_TAGS_MALFORMED"),
        ("policy", "DKIM_NOT_ALIGNED"),
        ("pass", ""),
    ]


def test_spf_of_a_trusted_relay_proves_the_domain_without_a_signature() -> None:
    envelope = make_envelope(trusted_relay=True)
    verification = verified(make_message(), {SPF: found(b"v=spf1 ip4:192.0.2.1 -all")}, envelope=envelope)
    assert verification.rejection is None
    assert verification.evidence.aligned_by_spf
    assert (verification.evidence.spf_result, verification.evidence.spf_domain) == ("pass", DOMAIN)


def test_a_signature_proves_the_domain_whomever_spf_lets_send() -> None:
    records = OURS.dns() | {SPF: found(b"v=spf1 +all")}
    verification = verified(signed(), records, envelope=make_envelope(trusted_relay=True))
    assert verification.rejection is None
    assert verification.evidence.spf_result == "pass"


def test_spf_that_may_allow_every_server_decides_nothing_while_the_dns_fails() -> None:
    records = {SPF: found(b"v=spf1 ip4:192.0.2.1 include:other.com -all"), Question("other.com", "TXT"): SERVFAIL}
    with pytest.raises(DnsTrouble):
        verified(make_message(), records, envelope=make_envelope(trusted_relay=True))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Auto-Submitted", "no"),
        ("Precedence", "first-class"),
        ("Feedback-ID", "i1234:Fastmail"),
        ("X-SES-Outgoing", "2025.06.15-54.240.1.1"),
        ("X-Mailer", "Apple Mail (2.3826)"),
        ("User-Agent", "Roundcube Webmail/1.6"),
        ("Thread-Index", "AdsWk1=="),
        ("Autocrypt", "addr=ann@acme.com; keydata=AAAA"),
        ("Content-Type", "multipart/alternative; boundary=b"),
        ("Disposition-Notification-To", "ann@acme.com"),
    ],
)
def test_what_stands_in_mail_that_people_write_is_allowed(name: str, value: str) -> None:
    assert with_field(name, value).verified().rejection is None


@pytest.mark.parametrize(
    "local_part", ["postmaster", "hostmaster", "it-admin", "ann.reply", "nora.notley", "boris.bounceworth"]
)
def test_addresses_of_people_and_of_who_runs_the_domain_are_allowed(local_part: str) -> None:
    assert from_address(local_part).verified().rejection is None


@pytest.mark.parametrize(
    "subject", ["Registration of acme.com", "Our [new] domain", "Domain claim (acme.com)", "Reply"]
)
def test_subjects_that_only_come_near_are_allowed(subject: str) -> None:
    assert Try(signed(subject=subject)).verified().rejection is None


def test_of_a_long_subject_only_the_beginning_is_looked_at() -> None:
    """With all of it, a run of spaces would take the square of its length: hours for a message of 1 MiB."""
    spaces = "\r\n ".join(["=?utf-8?q?re?=", *(f"=?utf-8?q?{'_' * 970}?=" for _ in range(1_000))])
    assert Try(signed(subject=spaces)).verified().rejection is None
    assert reason_of(Try(signed(subject="We claim. " * 50 + "\r\n Out of office")).verified()) == "AUTO_REPLY"
    assert (
        Try(signed(subject="\r\n ".join(["We claim. " * 60] * 2) + "\r\n Out of office")).verified().rejection is None
    )


def test_everything_that_can_be_asked_is_asked_at_once() -> None:
    message = read_message(signed())
    assert isinstance(message, Message)
    with pytest.raises(NeedsAnswers) as needs:
        _verify(message, make_envelope(trusted_relay=True), {})
    assert {OURS.question, DMARC, Question("_dmarc.com", "TXT"), SPF} <= needs.value.questions


def test_nothing_is_asked_for_a_message_that_cannot_prove_anything() -> None:
    message = read_message(make_message(author="eve@evil.com"))
    assert isinstance(message, Message)
    assert reason_of(_verify(message, make_envelope(), {})) == "FROM_NOT_THE_DOMAIN"


def test_a_key_of_another_domain_is_never_asked_for() -> None:
    message = read_message(EVIL.sign(make_message()))
    assert isinstance(message, Message)
    with pytest.raises(NeedsAnswers) as needs:
        _verify(message, make_envelope(), {})
    assert EVIL.question not in needs.value.questions


@pytest.mark.parametrize("state", ["servfail", "timeout"])
@pytest.mark.parametrize("question", [OURS.question, DMARC], ids=["key", "own policy"])
def test_a_failing_answer_that_matters_decides_nothing(question: Question, state: str) -> None:
    with pytest.raises(DnsTrouble) as trouble:
        verified(signed(), OURS.dns() | {question: Answer(state)})  # type: ignore[arg-type]
    assert trouble.value.question == question
    assert verified(signed(), OURS.dns()).rejection is None


def test_failing_spf_decides_nothing_when_the_proof_hangs_on_it() -> None:
    with pytest.raises(DnsTrouble) as trouble:
        verified(make_message(), {SPF: SERVFAIL}, envelope=make_envelope(trusted_relay=True))
    assert trouble.value.question == SPF


def test_failing_answers_that_do_not_matter_do_not_stop_a_proof() -> None:
    other = Signer(selector="gone")
    raw = other.sign(signed())
    records = OURS.dns() | {other.question: SERVFAIL, SPF: SERVFAIL, Question("_dmarc.com", "TXT"): SERVFAIL}
    verification = verified(raw, records, envelope=make_envelope(trusted_relay=True))
    assert verification.rejection is None
    assert [finding.result for finding in verification.evidence.dkim] == ["temperror", "pass"]
    assert verification.evidence.spf_result == "temperror"


def test_a_proof_is_the_same_proof_in_other_wrapping() -> None:
    ed25519 = Signer(selector="ed", algorithm="ed25519-sha256")
    records = OURS.dns() | ed25519.dns()
    once = signed()
    key = verified(once, records).message_key
    assert len(key) == 32
    for raw in (
        b"Received: from elsewhere\r\nX-Note: new\r\n" + once,
        ed25519.sign(once),
        ed25519.sign(make_message()),
        once.replace(b"We claim", b"We  claim"),
        once.replace(b"this is us.", b"this  is us. ") + b"\r\n\r\n",
    ):
        again = verified(raw, records)
        assert again.rejection is None
        assert again.message_key == key


def test_another_message_is_another_proof() -> None:
    keys = {
        verified(raw, OURS.dns()).message_key
        for raw in (signed(), signed(body=b"Hi\r\n"), signed(author="bob@acme.com"))
    }
    assert len(keys) == 3


def test_facts_tell_the_verdicts_and_answers_and_no_address_subject_or_body() -> None:
    facts = verified(signed(), OURS.dns()).facts
    text = repr(facts)
    for private in ("ann", "claim-", "We claim", "this is us", OURS.public_key[:30]):
        assert private not in text
    told = dict(facts)
    assert told["domain"] == DOMAIN
    assert told["dkim"].startswith("pass acme.com mail")
    assert told[f"dns TXT {OURS.question.name}"] == f"found {OURS.dns()[OURS.question].digest}"
    assert told[f"dns TXT {DMARC.name}"].startswith("nxdomain")


def test_other_facts_follow_from_other_answers() -> None:
    with_policy = OURS.dns() | {DMARC: found(b"v=DMARC1; p=none")}
    assert verified(signed(), OURS.dns()).facts != verified(signed(), with_policy).facts
    assert verified(signed(), OURS.dns()).facts == verified(signed(), OURS.dns()).facts


def test_the_claims_address_is_looked_for_in_the_envelope_and_in_to() -> None:
    message = read_message(make_message(to=f'"x@y.com" <{ADDRESS.upper()}>, a@b.com'))
    assert isinstance(message, Message)
    assert addresses_of(message, "<Other@C.com>") == ("other@c.com", "x@y.com", ADDRESS, "a@b.com")
    assert addresses_of(message, "") == ("x@y.com", ADDRESS, "a@b.com")


def test_addresses_behind_what_any_one_takes_are_not_looked_for() -> None:
    message = read_message(make_message(to="\r\n ".join([*["x" * 900] * 5, ADDRESS])))
    assert isinstance(message, Message)
    assert addresses_of(message, "") == ()


def test_addresses_beyond_the_limit_are_not_looked_for() -> None:
    message = read_message(make_message(to=", ".join(f"a{number}@b.com" for number in range(50))))
    assert isinstance(message, Message)
    assert len(addresses_of(message, ADDRESS)) == 10


def _verify(message: Message, envelope: Envelope, answers: dict[Question, Answer]) -> Verification:
    return verify(
        message,
        envelope,
        domain=DOMAIN,
        address=ADDRESS,
        now_s=NOW_S,
        answers=answers,
        suffixes=FewSuffixes(),
    )
