"""Every way round the proof of a domain that the verifier closes, each with its reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from apportion_identity.domain.mail import message as messages
from apportion_identity.domain.mail.types import (
    DnsQuestion,
)
from apportion_identity.domain.mail.verifier import REASONS
from apportion_identity.limits import HEADERS_MAX, MESSAGE_BYTES_MAX, SIGNATURES_MAX
from mail_maker import (
    ADDRESS,
    NOW_S,
    Signer,
    found,
    make_envelope,
    make_message,
    reason_of,
)
from mail_tries import (
    DMARC,
    EVIL,
    LATER_S,
    OURS,
    SPF,
    Try,
    encoded,
    from_address,
    short_key,
    signed,
    with_field,
    with_key,
    with_part,
    with_tags,
)

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
            {DnsQuestion("evil.com", "TXT"): found(b"v=spf1 +all")},
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
    "FROM_NOT_UTF8": "the header as a whole is rejected before (HEADER_NOT_UTF8)",
    "DKIM_KEY_UNAVAILABLE": "it decides nothing: the caller is told to try again",
}


@pytest.mark.parametrize(("reason", "attempt"), [way[1:] for way in WAYS_ROUND], ids=[way[0] for way in WAYS_ROUND])
def test_a_way_round_is_rejected_with_its_reason(reason: str, attempt: Callable[[], Try]) -> None:
    verification = attempt().verified()
    assert reason_of(verification) == reason
    assert not verification.message_key
    assert verification.rejection is not None
    assert verification.rejection.explanation.endswith(".")
    assert "  " not in verification.rejection.explanation


def test_every_reason_is_met_by_a_way_round() -> None:
    assert {way[1] for way in WAYS_ROUND} | ELSEWHERE.keys() == REASONS.keys() | messages.REASONS.keys()
