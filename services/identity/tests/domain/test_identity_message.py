"""Reading a message: what is taken apart, what is rejected, and the canonical forms that are hashed."""

from __future__ import annotations

import hashlib

import pytest
from apportion_identity.domain.mail.message import Field, Message, canonical_body, read_message, relaxed_value
from apportion_identity.domain.mail.types import Rejection
from apportion_identity.limits import HEADER_LINE_BYTES_MAX, HEADERS_MAX, MESSAGE_BYTES_MAX, SIGNATURES_MAX
from dkim.canonicalization import Relaxed, Simple
from hypothesis import example, given
from hypothesis import strategies as st


def read(raw: bytes) -> Message:
    message = read_message(raw)
    assert isinstance(message, Message)
    return message


def reason(raw: bytes) -> str:
    rejection = read_message(raw)
    assert isinstance(rejection, Rejection)
    return rejection.reason


def test_fields_keep_their_bytes_their_order_and_their_folds() -> None:
    message = read(b"From: a\r\nX-Two:b\r\n\tc\r\n d\r\nfrom:  e \r\n\r\nbody\r\n\r\nmore")
    assert message.fields == (
        Field(b"from", b"From", b" a\r\n"),
        Field(b"x-two", b"X-Two", b"b\r\n\tc\r\n d\r\n"),
        Field(b"from", b"from", b"  e \r\n"),
    )
    assert message.body == b"body\r\n\r\nmore"
    assert message.all(b"from") == [message.fields[0], message.fields[2]]
    assert message.all(b"to") == []
    assert message.names() == {b"from", b"x-two"}


def test_a_message_may_have_no_body_and_no_header() -> None:
    assert read(b"From: a\r\n").body == b""
    assert read(b"From: a\r\n\r\n").body == b""
    assert read(b"\r\nFrom: a\r\n").fields == ()
    assert read(b"").fields == ()


def test_a_message_at_every_limit_is_taken() -> None:
    assert len(read(b"X:y\r\n" * HEADERS_MAX + b"\r\nbody").fields) == HEADERS_MAX
    assert reason(b"X:y\r\n" * (HEADERS_MAX + 1) + b"\r\n") == "HEADERS_TOO_MANY"
    line = b"X:" + b"y" * (HEADER_LINE_BYTES_MAX - 2)
    read(line + b"\r\n\r\n" + b"z" * 5_000)
    assert reason(line + b"y\r\n\r\n") == "HEADER_LINE_TOO_LONG"
    whole = b"X: y\r\n\r\n"
    read(whole + b"z" * (MESSAGE_BYTES_MAX - len(whole)))
    assert reason(whole + b"z" * (MESSAGE_BYTES_MAX - len(whole) + 1)) == "MESSAGE_TOO_LARGE"
    read(b"DKIM-Signature: x\r\n" * SIGNATURES_MAX)
    assert reason(b"dkim-signature: x\r\n" * (SIGNATURES_MAX + 1)) == "SIGNATURES_TOO_MANY"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"From: a\0\r\n", "MESSAGE_NUL"),
        (b"From: a\r\n\r\n\0", "MESSAGE_NUL"),
        (b"From: a\n", "MESSAGE_BARE_NEWLINE"),
        (b"From: a\r\n\r\nx\ny\r\n", "MESSAGE_BARE_NEWLINE"),
        (b"From: a\r\n\r\nx\ry\r\n", "MESSAGE_BARE_NEWLINE"),
        (b"From: a\r\n\r\nx\r\r\n", "MESSAGE_BARE_NEWLINE"),
        (b"From: a\r\n\r\nx\n\r", "MESSAGE_BARE_NEWLINE"),
        (b" From: a\r\n", "HEADER_LEADING_SPACE"),
        (b"\tFrom: a\r\n", "HEADER_LEADING_SPACE"),
        (b"From : a\r\n", "HEADER_SPACE_BEFORE_COLON"),
        (b"X: y\r\nFrom\t: a\r\n", "HEADER_SPACE_BEFORE_COLON"),
        (b"From\r\n : a\r\n", "HEADER_MALFORMED"),
        (b"From a@b Mon Jan 1\r\nFrom: a\r\n", "HEADER_MALFORMED"),
        (b": a\r\n", "HEADER_MALFORMED"),
        (b"Fr\xc3\xb6m: a\r\n", "HEADER_MALFORMED"),
        (b"From: a", "HEADER_MALFORMED"),
        (b"From: a\r\nTo: b", "HEADER_MALFORMED"),
        (b"From: a\r\n \r\n b\r\n", "HEADER_BLANK_FOLD"),
        (b"From: a\r\n\t\r\n\r\n", "HEADER_BLANK_FOLD"),
        (b"From: a\x1b\r\n", "HEADER_CONTROL_CHARACTER"),
        (b"From: a\x7f\r\n", "HEADER_CONTROL_CHARACTER"),
        (b"Subject: \xff\r\n", "HEADER_NOT_UTF8"),
    ],
)
def test_what_two_servers_could_read_differently_is_rejected(raw: bytes, expected: str) -> None:
    assert reason(raw) == expected


def test_the_body_may_have_any_bytes_but_nul() -> None:
    assert read(b"X: y\r\n\r\n\xff\x01 \x7f").body == b"\xff\x01 \x7f"


PIECES = st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"a", b"b c", b"  ", b" \t", b"\xff"])).map(b"".join)


@given(PIECES)
@example(b"")
@example(b" ")
@example(b" \r\n\t")
def test_canonical_bodies_are_those_of_dkimpy(body: bytes) -> None:
    assert canonical_body(body, "simple") == Simple.canonicalize_body(body)
    # dkimpy leaves white space at the end of a last line that has no line end; RFC 6376 section 3.4.4 takes it off.
    ended = body if not body or body.endswith(b"\r\n") else body + b"\r\n"
    assert canonical_body(body, "relaxed") == Relaxed.canonicalize_body(ended)


@given(PIECES)
def test_canonical_bodies_are_canonical_already(body: bytes) -> None:
    for canonicalization in ("simple", "relaxed"):
        once = canonical_body(body, canonicalization)
        assert canonical_body(once, canonicalization) == once


@given(st.lists(st.sampled_from([b" ", b"\t", b"\r\n ", b"a", b"B", b"\r\n\t"])).map(b"".join))
def test_canonical_fields_are_those_of_dkimpy(value: bytes) -> None:
    field = Field(b"x-name", b"X-Name", value + b"\r\n")
    pair = (field.raw_name, field.raw_value)
    assert field.canonical("simple") == b":".join(Simple.canonicalize_headers([pair])[0])
    assert field.canonical("relaxed") == b":".join(Relaxed.canonicalize_headers([pair])[0])


def test_relaxed_values_are_unfolded_and_shrunk() -> None:
    assert relaxed_value(b"  a \t b\r\n\tc  \r\n") == b"a b c"


def test_a_long_run_of_spaces_is_shrunk() -> None:
    body = b"a" + b" \t" * 400_000 + b"b" + b"\t" * 100_000 + b"\r\n"
    assert canonical_body(body, "relaxed") == b"a b\r\n"


def test_what_was_worked_out_of_a_message_is_kept() -> None:
    message = read(b"X: y\r\n\r\nbody\r\n")
    assert message.body_sha256("simple") == hashlib.sha256(b"body\r\n").digest()
    assert message.body_sha256("simple") is message.body_sha256("simple")
    assert message.once("key", lambda: 1) == message.once("key", lambda: 2)
