"""The splitter of From: one mailbox that every reader reads alike, or a reason."""

from __future__ import annotations

import encodings

import pytest
from apportion_identity.domain.mail.from_header import REASONS, Mailbox, decoded_words, split_from, split_mailbox
from apportion_identity.domain.mail.types import Rejection

TAKEN = [
    ("ann@acme.com", "acme.com"),
    ("<ann@acme.com>", "acme.com"),
    ("  ann@acme.com\t", "acme.com"),
    ("Ann <ann@Acme.COM>", "acme.com"),
    ("Ann<ann@acme.com>", "acme.com"),
    ('"Owner, Ann; and: all <x@y.com>" <ann@acme.com>', "acme.com"),
    ('"a \\" quoted \\\\ name" <ann@acme.com>', "acme.com"),
    ('"" <ann@acme.com>', "acme.com"),
    ("(Ann, the owner) ann@acme.com", "acme.com"),
    ("ann@acme.com (a@b.com)", "acme.com"),
    ("Ann (the owner) Smith <ann@acme.com> (really)", "acme.com"),
    ("Änn Öwner <ann@acme.com>", "acme.com"),
    ("=?utf-8?q?M=C3=BCller=2C_Hans?= <ann@acme.com>", "acme.com"),
    ("=?UTF-8?B?QmVkIEJhdGggJiBCZXlvbmQ=?=<BdBth&Byond@acme.com>", "acme.com"),
    ("Ann\r\n Owner\r\n\t<ann@acme.com>", "acme.com"),
    ("o'neil+tag=x!#$%&*/?^_`{|}~-@acme.com", "acme.com"),
    ("ann@xn--mller-kva.de", "xn--mller-kva.de"),
    ("ann@müller.de", "xn--mller-kva.de"),
    ("ann@faß.de", "xn--fa-hia.de"),
    ("bob@例え.jp", "xn--r8jz45g.jp"),
    ("ann@mail.sub.acme.co.uk", "mail.sub.acme.co.uk"),
    (f"{'a' * 64}@acme.com", "acme.com"),
]

REJECTED = [
    ("", "NO_ADDRESS"),
    ("   ", "NO_ADDRESS"),
    ("(ann@acme.com)", "NO_ADDRESS"),
    ("Ann Owner", "NO_ADDRESS"),
    ("Ann <>", "NO_ADDRESS"),
    ("<ann>", "NO_ADDRESS"),
    ("ann@acme.com,", "SEVERAL_MAILBOXES"),
    (",ann@acme.com", "SEVERAL_MAILBOXES"),
    ("ann@acme.com, eve@evil.com", "SEVERAL_MAILBOXES"),
    ("ann@acme.com; eve@evil.com", "SEVERAL_MAILBOXES"),
    ("Owner, Ann <ann@acme.com>", "SEVERAL_MAILBOXES"),
    ("team: ann@acme.com;", "GROUP"),
    ("undisclosed:;", "GROUP"),
    ("From: ann@acme.com", "GROUP"),
    ("<@evil.com:ann@acme.com>", "ROUTE"),
    ("<@evil.com,@x.com:ann@acme.com>", "ROUTE"),
    ("<@evil.com@acme.com>", "ROUTE"),
    ("A. Owner <ann@acme.com>", "OBSOLETE_SYNTAX"),
    ("ann @acme.com", "OBSOLETE_SYNTAX"),
    ("ann@ acme.com", "OBSOLETE_SYNTAX"),
    ("< ann@acme.com>", "OBSOLETE_SYNTAX"),
    ("ann@(evil.com)acme.com", "OBSOLETE_SYNTAX"),
    ("<ann(x)@acme.com>", "OBSOLETE_SYNTAX"),
    ('"ann"@acme.com', "LOCAL_PART"),
    ('"ann@evil.com"@acme.com', "LOCAL_PART"),
    ("änn@acme.com", "LOCAL_PART"),
    (".ann@acme.com", "LOCAL_PART"),
    ("ann.@acme.com", "LOCAL_PART"),
    ("a..nn@acme.com", "LOCAL_PART"),
    ("@acme.com", "LOCAL_PART"),
    (f"{'a' * 65}@acme.com", "LOCAL_PART"),
    ("=?utf-8?q?ann?=@acme.com", "ENCODED"),
    ("ann@=?utf-8?q?acme?=.com", "ENCODED"),
    ("=?utf-8?b?PGV2ZUBldmlsLmNvbT4=?= <ann@acme.com>", "ENCODED"),
    ('"=?utf-8?b?PGV2ZUBldmlsLmNvbT4=?=" <ann@acme.com>', "ENCODED"),
    ("=?utf-8?q?eve=40evil=2Ecom?= <ann@acme.com>", "ENCODED"),
    ("=?utf-8?q?a=0D=0AFrom=3A_x?= <ann@acme.com>", "ENCODED"),
    ("=?utf-8?q?a=00?= <ann@acme.com>", "ENCODED"),
    ("=?no-such-charset?q?a?= <ann@acme.com>", "ENCODED"),
    ("=?utf-8?b?!!?= <ann@acme.com>", "ENCODED"),
    ("=?utf-8?x?a?= <ann@acme.com>", "ENCODED"),
    ("=?utf-8?q?=C3=A4 <ann@acme.com>", "ENCODED"),
    ("=?utf-8?q?=C3=A4(eve@evil.com)= <ann@acme.com>", "ENCODED"),
    ('"Owner,\r\n <eve@evil.com>,\r\n Ann" <ann@acme.com>', "FOLDED"),
    ("(Ann,\r\n <eve@evil.com>,\r\n Owner) ann@acme.com", "FOLDED"),
    ("ann@[192.0.2.1]", "DOMAIN_LITERAL"),
    ("<ann@[IPv6:::1]>", "DOMAIN_LITERAL"),
    ("ann@192.0.2.1", "DOMAIN_LITERAL"),
    ("ann@acme.com.", "DOMAIN_MALFORMED"),
    ("ann@acme..com", "DOMAIN_MALFORMED"),
    ("ann@-acme.com", "DOMAIN_MALFORMED"),
    ("ann@ac_me.com", "DOMAIN_MALFORMED"),
    ("ann@", "DOMAIN_MALFORMED"),
    ("ann@ac\uff0eme.com", "DOMAIN_MALFORMED"),
    ("ann@ac\u3002me.com", "DOMAIN_MALFORMED"),
    ("ann@\u212aacme.com", "DOMAIN_MALFORMED"),
    ("ann@\uff41cme.com", "DOMAIN_MALFORMED"),
    ("ann@Ärzte.de", "DOMAIN_MALFORMED"),
    ("ann@a\u0308rzte.de", "DOMAIN_MALFORMED"),
    ("ann@acme\u200b.com", "DOMAIN_MALFORMED"),
    ("ann@xn--zz--.com", "DOMAIN_MALFORMED"),
    (f"ann@{'a' * 64}.com", "DOMAIN_MALFORMED"),
    (f"ann@{'a.' * 130}com", "DOMAIN_MALFORMED"),
    ("ann@acme.com eve@evil.com", "OBSOLETE_SYNTAX"),
    ("ann@evil.com@acme.com", "MALFORMED"),
    ('"Ann" ann@acme.com', "MALFORMED"),
    ("<eve@evil.com>ann@acme.com", "MALFORMED"),
    ("<<ann@acme.com>>", "MALFORMED"),
    ("Ann <ann@acme.com> Owner", "MALFORMED"),
    ("Ann <ann@acme.com", "MALFORMED"),
    ("ann@acme.com>", "MALFORMED"),
    ("eve@evil.com <ann@acme.com>", "MALFORMED"),
    ('"Ann <ann@acme.com>', "MALFORMED"),
    ("(Ann <ann@acme.com>", "MALFORMED"),
    ("((x)) ann@acme.com", "MALFORMED"),
    ("ann@acme.com\\,", "SEVERAL_MAILBOXES"),
    ("Ann\x00 <ann@acme.com>", "CONTROL_CHARACTER"),
    ("Ann\x7f <ann@acme.com>", "CONTROL_CHARACTER"),
    ("Ann\x85 <ann@acme.com>", "CONTROL_CHARACTER"),
    ('"Ann\u2029" <ann@acme.com>', "CONTROL_CHARACTER"),
    ("Ann\r\nOwner <ann@acme.com>", "CONTROL_CHARACTER"),
    ("Ann\r Owner <ann@acme.com>", "CONTROL_CHARACTER"),
    ("a" * 5_000 + " <ann@acme.com>", "TOO_LONG"),
]


@pytest.mark.parametrize(("text", "domain"), TAKEN)
def test_one_plain_mailbox_is_taken_with_its_domain_in_a_labels(text: str, domain: str) -> None:
    found = split_from([b" " + text.encode() + b"\r\n"])
    assert isinstance(found, Mailbox)
    assert found.domain == domain


@pytest.mark.parametrize(("text", "reason"), REJECTED)
def test_anything_else_is_rejected_with_its_reason(text: str, reason: str) -> None:
    assert split_mailbox(text.encode()) == reason
    rejection = split_from([text.encode()])
    assert rejection == Rejection(f"FROM_{reason}", REASONS[f"FROM_{reason}"])


def test_bytes_that_are_no_utf8_are_rejected() -> None:
    assert split_mailbox(b"\xc4nn <ann@acme.com>") == "NOT_UTF8"
    # An overlong form of "<": readers of old took it for one.
    assert split_mailbox(b"Ann \xc0\xbceve@evil.com> <ann@acme.com>") == "NOT_UTF8"


def test_every_reason_is_met() -> None:
    assert {f"FROM_{reason}" for _, reason in REJECTED} | {
        "FROM_ABSENT",
        "FROM_REPEATED",
        "FROM_NOT_UTF8",
    } == REASONS.keys()


def test_the_local_part_is_kept_as_it_is_written() -> None:
    assert split_mailbox(b"Ann.O+Tag@ACME.com") == Mailbox("Ann.O+Tag", "acme.com")


def test_there_is_exactly_one_field() -> None:
    assert isinstance(split_from([b"ann@acme.com"]), Mailbox)
    for fields, reason in ([], "FROM_ABSENT"), ([b"ann@acme.com"] * 2, "FROM_REPEATED"):
        rejection = split_from(fields)
        assert isinstance(rejection, Rejection)
        assert rejection.reason == reason


def test_encoded_words_are_decoded_where_they_can_be() -> None:
    assert decoded_words("=?utf-8?q?Re=3A?= =?utf-8?b?IG5ldw==?= x") == "Re: new x"
    assert decoded_words("=?nonsense?q?Re?=") == "=?nonsense?q?Re?="
    assert decoded_words("=?ISO-8859-1?q?=E4?= =?koi8-u?q?=A4?= =?Windows-1252*en?q?=80?=") == "äє€"


def test_unknown_names_of_character_sets_are_not_remembered() -> None:
    """Python keeps every name that it was ever asked for; a stranger makes up as many as fit into a header."""
    known = encodings._cache  # type: ignore[attr-defined]
    before = set(known)
    for number in range(50):
        assert decoded_words(f"=?x-made-up-{number}?q?a?=") == f"=?x-made-up-{number}?q?a?="
        assert split_mailbox(f"=?x-made-up-{number}?q?a?= <ann@acme.com>".encode()) == "ENCODED"
    assert not [name for name in set(known) - before if "made" in name]


def test_a_long_row_of_openings_is_read_in_one_pass() -> None:
    for character in b'"(<@\\,:[':
        assert not isinstance(split_mailbox(bytes([character]) * 4_000), Mailbox)
