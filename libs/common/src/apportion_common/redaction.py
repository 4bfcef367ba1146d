"""What must not be written down: found by the name of a key, by the look of a value, and by the contract's own word.

Logs, audit rows and span attributes pass through here. Numbers, booleans and None stay: a count of tokens is no token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from apportion.options.v1 import options_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

REDACTED: Final = "[redacted]"
DEPTH_MAX: Final = 12
"""Levels of nesting that are looked through; what lies deeper is redacted."""

_KEY_WORDS: Final = frozenset(
    {
        *("apikey", "auth", "authorization", "cookie", "credential", "credentials", "dsn", "jwt", "passphrase"),
        *("passwd", "password", "secret", "secrets", "token", "tokens"),
        *("body", "content", "contents", "email", "emails", "payload", "recipient"),
    }
)
_KEY_PAIRS: Final = frozenset(
    {("api", "key"), ("private", "key"), ("signing", "key"), ("e", "mail"), ("database", "url"), ("tax", "id")}
)
_ABOUT: Final = frozenset({"bytes", "count", "digest", "hash", "id", "kid", "length", "sha256", "size", "type"})
"""A key that ends in one of these tells about a secret and does not hold it, such as content_hash."""
_KEY_SPLIT: Final = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")

_PATTERN: Final = re.compile(
    r"""
      -----BEGIN[ ][A-Z ]{0,40}PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]{0,40}PRIVATE[ ]KEY-----|\Z)
    | \beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?              # JSON Web Token
    | (?<=://)[^/\s:@]{0,200}:[^/\s@]{0,200}(?=@)                               # user and password of a URL
    | \b[Bb]earer\s+[A-Za-z0-9._~+/=-]{8,}
    | (?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}   # e-mail address
    | \bS[UAONCXP][A-Z2-7]{48,60}\b                                             # NATS seed
    | \b(?:sk|rk|pk|ghp|gho|ghs|xox[abps]|AKIA|ASIA|AIza)[-_A-Za-z0-9]{16,}     # keys of well-known makers
    | \b(?:apk|inv)_[A-Za-z0-9_-]{16,}                                          # our own: account keys, invitations
    | \[parameters:[ ][^\n]*                                                    # values of an SQL statement
    | \bDETAIL:[ ][^\n]*                                                        # values of a row, by PostgreSQL
    """,
    re.VERBOSE | re.DOTALL,
)
_HINTS: Final = (
    *("@", "eyJ", "earer", "PRIVATE KEY", "[parameters:", "DETAIL:", "sk", "rk", "pk", "gh", "xox"),
    *("apk_", "inv_"),
    *("AIza", "AKIA", "ASIA", "SU", "SA", "SO", "SN", "SC", "SX", "SP"),
)
"""Every text that the pattern finds holds one of these; most texts hold none, and are told apart at once."""


@lru_cache(maxsize=4096)
def is_sensitive_key(key: str) -> bool:
    """Return whether a value under this key is redacted whatever it looks like."""
    words = [word.lower() for word in _KEY_SPLIT.split(key) if word]
    if any(pair in _KEY_PAIRS for pair in pairwise(words)):
        return True
    return not _KEY_WORDS.isdisjoint(words) and words[-1] not in _ABOUT


def redact_text(text: str) -> str:
    """Return the text with e-mail addresses, tokens, keys and row values replaced."""
    if not any(hint in text for hint in _HINTS):
        return text
    return _PATTERN.sub(REDACTED, text)


def redact(value: object, depth: int = 0) -> object:
    """Return the value, mappings and lists inside it included, without what must not be written down.

    Keys are classified by `is_sensitive_key`, texts by `redact_text`, messages by `redact_message`; bytes become their
    length, since nobody can say what they hold.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if depth >= DEPTH_MAX:
        return REDACTED
    if isinstance(value, Message):
        return redact_message(value)
    if isinstance(value, Mapping):
        return {str(key): redact_item(str(key), item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item, depth + 1) for item in value]
    return redact_text(str(value))


def redact_item(key: str, value: object, depth: int = 0) -> object:
    """Return the value as it may be written under `key`."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return REDACTED if is_sensitive_key(key) else redact(value, depth)


@lru_cache(maxsize=4096)
def is_sensitive_field(field: FieldDescriptor) -> bool:
    """Return whether the contract marks the field as sensitive."""
    extensions: Any = field.GetOptions().Extensions
    return bool(extensions[options_pb2.sensitive])


def redact_message(message: Message) -> dict[str, object]:
    """Return the message as a dictionary of its field names, without values of fields that its contract calls
    sensitive.
    """
    found = MessageToDict(message, preserving_proto_field_name=True)
    return _redact_fields(found, message.DESCRIPTOR)


def _redact_fields(found: Mapping[str, object], descriptor: Any) -> dict[str, object]:
    out: dict[str, object] = {}
    for name, value in found.items():
        field = descriptor.fields_by_name.get(name)
        if field is not None and is_sensitive_field(field):
            out[name] = REDACTED
        elif field is not None and field.message_type is not None and isinstance(value, Mapping):
            out[name] = _redact_fields(value, field.message_type)
        elif field is not None and field.message_type is not None and isinstance(value, list):
            inner = field.message_type
            out[name] = [_redact_fields(v, inner) if isinstance(v, Mapping) else redact(v) for v in value]
        else:
            out[name] = redact_item(name, value)
    return out
