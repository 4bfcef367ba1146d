"""A message as raw bytes: its header fields as they were signed, and its body.

The reading is strict where readers differ (RFC 5322 without its obsolete syntax): what one server takes for a header
field and another for something else is rejected, for a signature over one reading says nothing of the other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, TypeVar, cast

from apportion_identity.domain.mail.types import Rejection
from apportion_identity.limits import HEADER_LINE_BYTES_MAX, HEADERS_MAX, MESSAGE_BYTES_MAX, SIGNATURES_MAX

Canonicalization: TypeAlias = Literal["simple", "relaxed"]
Value = TypeVar("Value")

_FIELD: Final = re.compile(rb"([!-9;-~]+):([^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BLANK_FOLD: Final = re.compile(rb"\r\n[ \t]+\r\n")
_SPACE_BEFORE_COLON: Final = re.compile(rb"[!-9;-~]+[ \t]+:")
_WHITE: Final = re.compile(rb"[ \t]+")

REASONS: Final[dict[str, str]] = {
    "MESSAGE_TOO_LARGE": "The message is larger than 1 MiB. Send a short one without attachments.",
    "MESSAGE_NUL": "The message has a NUL character, which no mail may have. Send it again as plain text.",
    "MESSAGE_BARE_NEWLINE": "The message has a CR or LF that stands alone; lines of a mail end in CR LF. Send it "
    "through an ordinary mail program.",
    "HEADERS_TOO_MANY": "The message has more than 1,000 header fields. Send a new message, not a forwarded one.",
    "SIGNATURES_TOO_MANY": "The message has more than 10 DKIM signatures. Send it directly, not through forwarders.",
    "HEADER_LINE_TOO_LONG": "A line of the message's header is longer than 998 characters, which RFC 5322 forbids.",
    "HEADER_LEADING_SPACE": "The message begins with a line that is folded onto nothing. Send it through an ordinary "
    "mail program.",
    "HEADER_SPACE_BEFORE_COLON": "A header field has a space before its colon, which servers read differently. Send it "
    "through an ordinary mail program.",
    "HEADER_BLANK_FOLD": "A header field is folded over a line of nothing but white space, which servers read "
    "differently. Send it through an ordinary mail program.",
    "HEADER_CONTROL_CHARACTER": "The message's header has a control character, which RFC 5322 forbids.",
    "HEADER_NOT_UTF8": "The message's header has bytes that are neither ASCII nor UTF-8.",
    "HEADER_MALFORMED": "The message's header has a line that is no header field. Send it through an ordinary mail "
    "program.",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One header field: `name` in lower case; `raw_name` and `raw_value` as they came, the value with its CRLF."""

    name: bytes
    raw_name: bytes
    raw_value: bytes

    def canonical(self, canonicalization: Canonicalization) -> bytes:
        """Return the field as it is hashed (RFC 6376, sections 3.4.1 and 3.4.2)."""
        if canonicalization == "simple":
            return self.raw_name + b":" + self.raw_value
        return self.name + b":" + relaxed_value(self.raw_value) + b"\r\n"


class Message:
    """A message that was read without a doubt. Its parts never change; what was worked out of them is kept."""

    __slots__ = ("_by_name", "_kept", "body", "fields")

    def __init__(self, fields: tuple[Field, ...], body: bytes) -> None:
        self.fields = fields
        self.body = body
        self._by_name: dict[bytes, list[Field]] = {}
        for field in fields:
            self._by_name.setdefault(field.name, []).append(field)
        self._kept: dict[Hashable, object] = {}

    def all(self, name: bytes) -> list[Field]:
        """Return the fields of a name (in lower case) from top to bottom."""
        return self._by_name.get(name, [])

    def names(self) -> frozenset[bytes]:
        """Return the names of all fields, in lower case."""
        return frozenset(self._by_name)

    def body_sha256(self, canonicalization: Canonicalization) -> bytes:
        """Return the SHA-256 of the canonical body, all of it."""
        return self.once(
            ("body", canonicalization), lambda: hashlib.sha256(canonical_body(self.body, canonicalization)).digest()
        )

    def once(self, key: Hashable, work: Callable[[], Value]) -> Value:
        """Return what `work` makes of this message and of what `key` names: done the first time, then remembered.

        A message is verified in rounds, and several signatures may be made over one body.
        """
        if key not in self._kept:
            self._kept[key] = work()
        return cast(Value, self._kept[key])


def read_message(raw: bytes) -> Message | Rejection:
    """Read a message; Rejection for one that two servers could read differently, or that is beyond a limit.

    Who the From field names, and whether it is there at all, is for the verifier to say: the claim that the message is
    about is found without it.
    """
    if len(raw) > MESSAGE_BYTES_MAX:
        return rejected("MESSAGE_TOO_LARGE")
    if b"\0" in raw:
        return rejected("MESSAGE_NUL")
    line_ends = raw.count(b"\r\n")
    if raw.count(b"\r") != line_ends or raw.count(b"\n") != line_ends:
        return rejected("MESSAGE_BARE_NEWLINE")
    head, body = _split(raw)
    if (reason := _problem_of(head)) is not None:
        return rejected(reason)
    fields: list[Field] = []
    position = 0
    while position < len(head):
        found = _FIELD.match(head, position)
        if found is None:
            return rejected(_problem_at(head, position))
        if len(fields) == HEADERS_MAX:
            return rejected("HEADERS_TOO_MANY")
        raw_name, raw_value = found.groups()
        fields.append(Field(raw_name.lower(), raw_name, raw_value))
        position = found.end()
    message = Message(tuple(fields), body)
    if len(message.all(b"dkim-signature")) > SIGNATURES_MAX:
        return rejected("SIGNATURES_TOO_MANY")
    return message


def rejected(reason: str) -> Rejection:
    """Return the rejection of a message as a whole, with its explanation."""
    return Rejection(reason, REASONS[reason])


def relaxed_value(raw_value: bytes) -> bytes:
    """Return a field's value unfolded, with single spaces and none at its ends (RFC 6376, section 3.4.2)."""
    return _WHITE.sub(b" ", raw_value.replace(b"\r\n", b"")).strip(b" ")


def canonical_body(body: bytes, canonicalization: Canonicalization) -> bytes:
    """Return the body as it is hashed (RFC 6376, sections 3.4.3 and 3.4.4)."""
    if canonicalization == "relaxed":
        # Plain replacing is many times quicker than an expression; each turn halves the longest run of spaces.
        body = body.replace(b"\t", b" ")
        while b"  " in body:
            body = body.replace(b"  ", b" ")
        body = body.replace(b" \r\n", b"\r\n").removesuffix(b" ")
    end = len(body)
    while body.endswith(b"\r\n", 0, end):
        end -= 2
    if end > 0:
        return body[: end + 2] if end < len(body) else body + b"\r\n"
    return b"" if canonicalization == "relaxed" else b"\r\n"


def _split(raw: bytes) -> tuple[bytes, bytes]:
    """Return the header with the last field's line end, and the body; it may have none (RFC 5322, section 2.1)."""
    if raw.startswith(b"\r\n"):
        return b"", raw[2:]
    end = raw.find(b"\r\n\r\n")
    return (raw, b"") if end < 0 else (raw[: end + 2], raw[end + 4 :])


def _problem_of(head: bytes) -> str | None:
    """Return why the header as a whole cannot be read."""
    if _CONTROL.search(head):
        return "HEADER_CONTROL_CHARACTER"
    if not head.isascii():
        try:
            head.decode()
        except UnicodeDecodeError:
            return "HEADER_NOT_UTF8"
    if any(len(line) > HEADER_LINE_BYTES_MAX for line in head.split(b"\r\n")):
        return "HEADER_LINE_TOO_LONG"
    if _BLANK_FOLD.search(head):
        return "HEADER_BLANK_FOLD"
    return None


def _problem_at(head: bytes, position: int) -> str:
    """Return why no field begins at a place. A line that begins with `From ` is none: libraries drop such lines."""
    if head[position : position + 1] in (b" ", b"\t"):
        return "HEADER_LEADING_SPACE"
    if _SPACE_BEFORE_COLON.match(head, position):
        return "HEADER_SPACE_BEFORE_COLON"
    return "HEADER_MALFORMED"
