"""What an audit entry holds of a change: JSON in which personal and secret values are replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Final
from uuid import UUID

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from apportion_common.instants import datetime_of_us
from apportion_common.redaction import REDACTED, is_sensitive_key, redact_message, redact_text

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]

JSON_INTEGER_MAX: Final = 2**53 - 1
"""Readers of JSON may hold numbers as doubles; larger integers are written as text."""
_INSTANTS: Final = ("_at_us", "_time_us", "until_us")
"""Ends of the names of instants in microseconds."""
_BARE_SECRETS: Final = frozenset({"key", "keys"})
"""In a log these may be anything; in an audited row they are key material."""


def audit_json(value: Mapping[str, object] | Message) -> dict[str, Json]:
    """Return the value as a JSON object as the contract writes it, without what must not be written down.

    Numbers with a fraction become text, and instants (also `..._at_us`, in microseconds) times in UTC.
    """
    plain = redact_message(value) if isinstance(value, Message) else value
    return _members(plain)


def _members(plain: Mapping[str, object]) -> dict[str, Json]:
    return dict(_member(str(key), inner) for key, inner in plain.items())


def _member(key: str, value: object) -> tuple[str, Json]:
    if value is not None and (is_sensitive_key(key) or key.lower() in _BARE_SECRETS):
        return key, REDACTED
    if key.endswith(_INSTANTS) and not isinstance(value, bool) and isinstance(value, int | None):
        return key.removesuffix("_us"), None if value is None else _time(datetime_of_us(value))
    return key, _json(value)


def _time(at: datetime) -> str:
    """Return an instant as JSON of the contract has it: in UTC, with as many digits as it needs."""
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp.ToJsonString()


def _json(value: object) -> Json:
    match value:
        case Enum():
            return value.name
        case None | bool():
            return value
        case int():
            return value if abs(value) <= JSON_INTEGER_MAX else str(value)
        case str():
            return redact_text(value)
        case Decimal():
            return format(value, "f")
        case UUID():
            return str(value)
        case datetime():
            return _time(value)
        case date():
            return value.isoformat()
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case Message():
            return dict(audit_json(value))
        case Mapping():
            return _members({str(key): inner for key, inner in value.items()})
        case Sequence():
            return [_json(inner) for inner in value]
        case AbstractSet():
            return sorted((_json(inner) for inner in value), key=repr)
    if is_dataclass(value):
        return _members({field.name: getattr(value, field.name) for field in fields(value)})
    return redact_text(str(value))
