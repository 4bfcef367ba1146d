"""What the fields of a request say: ids and instants, each error naming its field."""

from __future__ import annotations

from uuid import UUID

from google.protobuf.message import Message

from apportion_common.clock import Clock
from apportion_common.errors import ApportionError
from apportion_common.ids import parse_uuid
from apportion_common.protos import timestamp_to_us


def id_of(text: str, field: str) -> UUID:
    """Return the id in a request's field. InvalidArgument ID_MALFORMED."""
    try:
        return parse_uuid(text)
    except ApportionError as error:
        error.field = field
        raise


def optional_id(text: str, field: str) -> UUID | None:
    """Return what `id_of` does; None for an empty field."""
    return id_of(text, field) if text else None


def optional_id_bytes(text: str, field: str) -> bytes | None:
    """Return what `optional_id` does, as 16 bytes."""
    found = optional_id(text, field)
    return None if found is None else found.bytes


def optional_us(message: Message, field: str) -> int | None:
    """Return the instant of a field that may be absent, in microseconds since 1970 UTC; None when it is."""
    return timestamp_to_us(getattr(message, field), field) if message.HasField(field) else None


def instant_or_now(message: Message, field: str, clock: Clock) -> int:
    """Return what `optional_us` does; the clock's instant when the field is absent."""
    at_us = optional_us(message, field)
    return clock.now_us() if at_us is None else at_us


def text_of(value: UUID | None) -> str:
    """Return an id as a message carries it: empty for none."""
    return "" if value is None else str(value)
