"""DKIM: published vectors, changes of signed bytes under both canonicalizations, and a second opinion."""

from __future__ import annotations

import itertools
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace

import dkim as dkimpy
import pytest
from apportion_identity.domain.mail.dkim import (
    PublicKey,
    Signature,
    read_key,
    read_signature,
    read_signatures,
    verify_signature,
)
from apportion_identity.domain.mail.message import Field, Message, read_message
from apportion_identity.domain.mail.types import DkimFinding, DnsAnswer, Rejection
from dkim.canonicalization import Relaxed
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mail_maker import ADDRESS, NOW_S, Signer, found, make_message, private_pem, reason_of, verified

ED25519 = Signer(algorithm="ed25519-sha256")
RSA = Signer()


def read(raw: bytes) -> Message:
    message = read_message(raw)
    assert isinstance(message, Message)
    return message


def findings(raw: bytes, records: dict[str, bytes], now_s: int = NOW_S) -> list[DkimFinding]:
    """What the RFCs say of each signature, without a claim's stricter rules."""
    message = read(raw)
    return [
        one if isinstance(one, DkimFinding) else verify_signature(one, message, found(records[one.selector]), now_s)
        for one in read_signatures(message)
    ]


def read_one(value: str, **replaced: str) -> Signature | DkimFinding:
    tags = {"v": "1", "a": "rsa-sha256", "d": "acme.com", "s": "m", "h": "from:to", "bh": "A" * 43 + "=", "b": "AAAA"}
    text = "; ".join(f"{name}={one}" for name, one in {**tags, **replaced}.items()) + value
    return read_signature(Field(b"dkim-signature", b"DKIM-Signature", f" {text}\r\n".encode()))


def signed_twice() -> tuple[bytes, dict[str, bytes]]:
    """One message under a signature of each kind, as RFC 8463 foresees it, and the records of both keys."""
    ed25519, rsa = replace(ED25519, selector="brisbane"), replace(RSA, selector="test")
    message = rsa.sign(ed25519.sign(make_message(body=b"We lost the game.\r\n")))
    return message, {signer.selector: signer.record() for signer in (ed25519, rsa)}


def test_a_message_holds_under_signatures_of_both_kinds() -> None:
    message, records = signed_twice()
    assert [one.result for one in findings(message, records)] == ["pass", "pass"]


def test_a_message_that_was_changed_holds_under_neither() -> None:
    message, records = signed_twice()
    changed = message.replace(b"lost the game", b"won the game")
    assert [one.reason for one in findings(changed, records)] == ["DKIM_BODY_CHANGED"] * 2
    changed = message.replace(ADDRESS.encode(), b"x" + ADDRESS.encode())
    assert [one.reason for one in findings(changed, records)] == ["DKIM_SIGNATURE_WRONG"] * 2


@pytest.mark.parametrize(
    "canonicalization", [(b"simple", b"simple"), (b"relaxed", b"relaxed"), (b"relaxed", b"simple")]
)
def test_what_dkimpy_signed_proves_the_domain(canonicalization: tuple[bytes, bytes]) -> None:
    message = make_message()
    signature = dkimpy.sign(
        message, b"mail", b"acme.com", private_pem(RSA), canonicalize=canonicalization, include_headers=[b"from", b"to"]
    )
    # dkimpy writes the time of its own clock into t=.
    assert reason_of(verified(signature + message, RSA.dns(), now_s=1 << 40)) == "VERIFIED"


@pytest.mark.parametrize("signer", [RSA, ED25519], ids=["rsa", "ed25519"])
def test_any_byte_changed_under_simple_rejects_the_message(signer: Signer) -> None:
    raw = signer.sign(make_message(body=b"Hello,\r\n\r\n we claim it.\t\r\n"), "simple/simple")
    assert reason_of(verified(raw, signer.dns())) == "VERIFIED"
    for place, byte in enumerate(raw):
        for changed in {byte ^ 0x01, byte ^ 0x20, 0x20, 0x09, 0x0D} - {byte}:
            mutant = raw[:place] + bytes([changed]) + raw[place + 1 :]
            assert reason_of(verified(mutant, signer.dns())) != "VERIFIED", (place, changed, raw[place - 9 : place + 9])


@given(st.data())
@settings(max_examples=300)
def test_any_byte_added_or_taken_under_simple_rejects_the_message(data: st.DataObject) -> None:
    raw = ED25519.sign(make_message(), "simple/simple")
    # White space within b= is no part of what is signed (RFC 6376, section 3.5), so it begins behind the signature.
    start = raw.index(b"From:")
    place = data.draw(st.integers(start, len(raw) - 1))
    byte = data.draw(st.binary(max_size=1))
    mutant = raw[:place] + byte + raw[place + (not byte) :]
    assert reason_of(verified(mutant, ED25519.dns())) != "VERIFIED"


WHITE = st.sampled_from([" ", "  ", "\t", " \t ", "\r\n ", "\r\n\t\t", " \r\n "])
EDGE = st.sampled_from(["", " ", "\t", "  \t"])
START = st.sampled_from(["", " ", "\t ", "\r\n "])
CASES = st.sampled_from([str.lower, str.upper, str.title])


def fields_of(words: dict[str, list[str]], data: st.DataObject) -> bytes:
    """The fields with other white space between, before and after their words, and other letter case in their names."""
    lines: list[str] = []
    for name, parts in words.items():
        text = data.draw(START) + parts[0]
        for part in parts[1:]:
            text += data.draw(WHITE) + part
        lines.append(f"{data.draw(CASES)(name)}:{text}{data.draw(EDGE)}\r\n")
    return "".join(lines).encode()


WORDS = {
    "From": ["Ann", "the", "Owner", "<ann@acme.com>"],
    "To": ["Claims", f"<{ADDRESS}>"],
    "Subject": ["We", "claim", "our", "domain"],
    "Date": ["Sun,", "15", "Jun", "2025", "12:00:00", "+0000"],
    "Message-ID": ["<first@acme.com>"],
}
PLAIN = "".join(f"{name}: {' '.join(parts)}\r\n" for name, parts in WORDS.items()).encode()


@given(st.data())
@settings(max_examples=150)
def test_changes_of_white_space_and_case_survive_under_relaxed(data: st.DataObject) -> None:
    signed = ED25519.sign(PLAIN + b"\r\nHello, we\r\nclaim it.\r\n", "relaxed/relaxed")
    signature = signed[: signed.index(b"From:")]
    gap, end = (data.draw(st.sampled_from([b" ", b"\t", b"  \t"])) for _ in range(2))
    rest = data.draw(st.sampled_from([b"", b"\r\n", b"\r\n\r\n", b" \r\n", b"\r\n\t\r\n"]))
    body = b"Hello," + gap + b"we" + end + b"\r\nclaim" + gap + b"it." + rest
    mutant = signature + fields_of(WORDS, data) + b"\r\n" + body
    assert reason_of(verified(mutant, ED25519.dns())) == "VERIFIED"


@given(st.data())
@settings(max_examples=300)
def test_under_relaxed_exactly_what_survives_canonicalization_verifies(data: st.DataObject) -> None:
    original = PLAIN + b"\r\nHello, we\r\nclaim  it.\r\n"
    signed = ED25519.sign(original, "relaxed/relaxed")
    signature = signed[: signed.index(b"From:")]
    mutant = original
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.integers(0, len(mutant)))
        taken = data.draw(st.integers(0, 2))
        added = data.draw(st.sampled_from([b"", b" ", b"\t", b"  ", b"\r\n", b"\r\n ", b"a", b"A", b":", b",", b"."]))
        mutant = mutant[:place] + added + mutant[place + taken :]
    reason = reason_of(verified(signature + mutant, ED25519.dns()))
    if reason == "VERIFIED":
        assert relaxed_form(mutant) == relaxed_form(original)
    elif relaxed_form(mutant) == relaxed_form(original):
        # It survives, but servers could read it differently.
        assert not reason.startswith("DKIM_"), mutant


def relaxed_form(message: bytes) -> object:
    """The canonical fields and body by dkimpy, its own reading of the message included."""
    fields, body = dkimpy.rfc822_parse(message) if readable(message) else ([], message)
    wanted = {name.lower().encode() for name in WORDS}
    chosen = [field for field in Relaxed.canonicalize_headers(fields) if field[0] in wanted]
    return sorted(chosen), Relaxed.canonicalize_body(ended(body))


def ended(octets: bytes) -> bytes:
    """With a last line end: dkimpy leaves white space before a missing one, RFC 6376 section 3.4.4 takes it off."""
    return octets if octets.endswith(b"\r\n") else octets + b"\r\n"


def readable(message: bytes) -> bool:
    return not isinstance(read_message(message), Rejection)


@given(st.data())
@settings(max_examples=300)
def test_dkimpy_takes_whatever_proves_a_domain(data: st.DataObject) -> None:
    signer = data.draw(st.sampled_from([ED25519, RSA]))
    canonicalization = data.draw(
        st.sampled_from(["simple/simple", "relaxed/relaxed", "simple/relaxed", "relaxed/simple"])
    )
    raw = signer.sign(make_message(body=b" Hello, \t we\r\n\r\nclaim it.\r\n\r\n"), canonicalization)
    place = data.draw(st.integers(0, len(raw)))
    taken = data.draw(st.integers(0, 1))
    added = data.draw(st.sampled_from([b"", b" ", b"\t", b"\r\n", b"\r\n ", b"a", b";", b"="]))
    mutant = raw[:place] + added + raw[place + taken :]
    if reason_of(verified(mutant, signer.dns())) == "VERIFIED":
        assert dkimpy.verify(ended(mutant), dnsfunc=lambda name, timeout=5: signer.record())


@given(st.binary(max_size=120))
@example(b" v=1; b=" + b";" * 50)
@example(b" b==; b")
def test_no_rubbish_in_a_signature_or_a_key_breaks_the_reading(rubbish: bytes) -> None:
    value = rubbish.replace(b"\r", b"").replace(b"\n", b"")
    assert isinstance(read_signature(Field(b"dkim-signature", b"DKIM-Signature", value + b"\r\n")), DkimFinding)
    assert not isinstance(read_key(found(rubbish), b"rsa"), PublicKey)


TAGS = st.lists(
    st.tuples(
        st.sampled_from(["v", "a", "b", "bh", "c", "d", "h", "i", "l", "q", "s", "t", "x", "k", "p", "zz", "", "B"]),
        st.sampled_from(
            ["1", "", "rsa-sha256", "ed25519-sha256", "acme.com", "@acme.com", "from:to", ":", "AAAA", "/", "0"]
        )
        | st.text(alphabet=" aA=/:@.0\t-", max_size=12),
    ),
    max_size=12,
)


@given(TAGS)
def test_no_row_of_tags_breaks_the_reading(tags: list[tuple[str, str]]) -> None:
    text = ";".join(f" {name}={value}" for name, value in tags).encode()
    message = Message((Field(b"from", b"From", b" a\r\n"),), b"")
    one = read_signature(Field(b"dkim-signature", b"DKIM-Signature", text + b"\r\n"))
    if isinstance(one, Signature):
        assert verify_signature(one, message, RSA.dns()[RSA.question], NOW_S).result != "pass"
    for kind in (b"rsa", b"ed25519"):
        key = read_key(found(text), kind)
        assert isinstance(key, PublicKey | tuple)


def test_signatures_that_are_written_otherwise_but_well_are_read() -> None:
    assert isinstance(read_one(""), Signature)
    assert isinstance(read_one(";"), Signature)
    assert isinstance(read_one("; \r\n\t"), Signature)
    assert isinstance(read_one("; zz=unknown"), Signature)
    assert isinstance(read_one("", h="From : \r\n\tTo", b="AA\r\n AA"), Signature)
    assert isinstance(read_one("", i="ann@mail.ACME.com", d="Acme.COM"), Signature)


@pytest.mark.parametrize(
    ("replaced", "reason"),
    [
        ({"b": "A A=A"}, "DKIM_TAGS_MALFORMED"),
        ({"b": "AAB="}, "DKIM_TAGS_MALFORMED"),
        ({"bh": "AAAA"}, "DKIM_TAGS_MALFORMED"),
        ({"b": ""}, "DKIM_TAG_MISSING"),
        ({"h": "from::to"}, "DKIM_TAGS_MALFORMED"),
        ({"h": "from:t o"}, "DKIM_TAGS_MALFORMED"),
        ({"h": ":".join(["from"] * 301)}, "DKIM_TAGS_MALFORMED"),
        ({"h": "to"}, "DKIM_FROM_NOT_SIGNED"),
        ({"d": "acme.com."}, "DKIM_DOMAIN_MALFORMED"),
        ({"d": "acme .com"}, "DKIM_DOMAIN_MALFORMED"),
        ({"s": "../x"}, "DKIM_DOMAIN_MALFORMED"),
        ({"s": "a." * 120 + "a"}, "DKIM_DOMAIN_MALFORMED"),
        ({"i": "acme.com"}, "DKIM_IDENTITY_OUTSIDE"),
        ({"i": "@com"}, "DKIM_IDENTITY_OUTSIDE"),
        ({"c": "relaxed/relaxed/simple"}, "DKIM_CANONICALIZATION"),
        ({"t": "1e9"}, "DKIM_TAGS_MALFORMED"),
        ({"x": "9" * 13}, "DKIM_TAGS_MALFORMED"),
        ({"d": "münchen.de"}, "DKIM_TAGS_MALFORMED"),
        ({"V": "1", "v": "1", "1v": "x"}, "DKIM_TAGS_MALFORMED"),
    ],
)
def test_signatures_that_are_not_well_written_are_rejected(replaced: dict[str, str], reason: str) -> None:
    one = read_one("", **replaced)
    assert isinstance(one, DkimFinding)
    assert (one.result, one.reason) == ("permerror", reason)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"", "DKIM_KEY_MALFORMED"),
        (b"v=spf1 -all", "DKIM_KEY_MALFORMED"),
        (b"k=rsa; v=DKIM1; p=AAAA", "DKIM_KEY_MALFORMED"),
        (b"v=DKIM1; p=AAAA; p=AAAA", "DKIM_KEY_MALFORMED"),
        (b"v=DKIM1; p=AAAA", "DKIM_KEY_MALFORMED"),
        (b"v=DKIM1; p=not base64!", "DKIM_KEY_MALFORMED"),
        (b"v=DKIM1; k=dsa; p=AAAA", "DKIM_KEY_TYPE"),
        (b"v=DKIM1; h=sha1:sha512; p=AAAA", "DKIM_KEY_HASH"),
        (b"v=DKIM1; s=other; p=AAAA", "DKIM_KEY_SERVICE"),
        (b"v=DKIM1; t=s:y; p=", "DKIM_KEY_TESTING"),
        (b"v=DKIM1; p=", "DKIM_KEY_REVOKED"),
    ],
)
def test_key_records_that_may_not_verify_are_rejected(record: bytes, reason: str) -> None:
    key = read_key(found(record), b"rsa")
    assert not isinstance(key, PublicKey)
    assert key[1] == reason


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"v": None},
        {"k": None},
        {"h": "sha1:sha256"},
        {"s": "other : email"},
        {"t": "s"},
        {"n": "a note"},
        {"g": "*"},
    ],
)
def test_key_records_that_may_verify_do(tags: dict[str, str | None]) -> None:
    assert reason_of(verified(RSA.sign(make_message()), RSA.dns(**tags))) == "VERIFIED"


def test_an_ed25519_key_that_fits_any_signature_verifies_none() -> None:
    """Points of small order: a signature of zeros over anything would hold."""
    for point in (b"\0" * 32, b"\1" + b"\0" * 31):
        weak = found(b"v=DKIM1; k=ed25519; p=" + b64encode(point))
        for value in (b"\0" * 64, b"\1" + b"\0" * 63):
            forged = ED25519.sign(make_message())
            forged = (
                forged[: forged.index(b"b=", forged.index(b"bh=") + 3)]
                + b"b="
                + b64encode(value)
                + b"\r\n"
                + make_message()
            )
            message = read(forged)
            signature = read_signatures(message)[0]
            assert isinstance(signature, Signature)
            assert verify_signature(signature, message, weak, NOW_S).reason == "DKIM_SIGNATURE_WRONG"


def test_fields_are_taken_from_the_last_upwards_and_once_each() -> None:
    """Section 5.4.2: the signer counts from the bottom, so that fields which are put on top change nothing."""
    message = make_message(more=[("X-Trace", "one"), ("X-Trace", "two")])
    for names in itertools.product(["x-trace"], repeat=3):
        raw = RSA.sign(message, headers=("from", "to", *names))
        assert reason_of(verified(raw, RSA.dns())) == "VERIFIED"
        assert reason_of(verified(b"X-Trace: zero\r\n" + raw, RSA.dns())) == "DKIM_SIGNATURE_WRONG"


def test_trace_fields_may_be_put_on_top_of_signed_ones() -> None:
    raw = RSA.sign(b"Received: by one\r\n" + make_message(), headers=("from", "to", "received"))
    assert reason_of(verified(b"Received: by two\r\n" + raw, RSA.dns())) == "VERIFIED"


def test_an_unanswered_key_is_a_temporary_error() -> None:
    message = read(RSA.sign(make_message()))
    for one in signatures(message):
        assert verify_signature(one, message, DnsAnswer("timeout"), NOW_S).result == "temperror"


def signatures(message: Message) -> Iterator[Signature]:
    for one in read_signatures(message):
        assert isinstance(one, Signature)
        yield one
