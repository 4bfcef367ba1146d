"""The check of one event's form (spec 04, "Intake").

What can never be right is rejected; whether SKU, org or entitlement exist is pricing's to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple
from uuid import UUID

from apportion_common.decimals import QUANTITY, QUANTITY_PLACES, check_scaled, parse_scaled
from apportion_common.errors import ApportionError, InvalidArgument, OutOfRange
from apportion_common.ids import NIL_UUID, format_uuid, parse_uuid_bytes, uuid_of_bytes

from apportion_metering.domain.content import content_hash
from apportion_metering.domain.times import check_time, parse_time, time_of
from apportion_metering.limits import (
    KNOWN_TEXTS_MAX,
    METADATA_BYTES_MAX,
    METADATA_PAIRS_MAX,
    REQUEST_ID_CHARS_MAX,
    SKU_CHARS_MAX,
)

_SKU: Final = re.compile(r"[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*")
_REQUEST_ID: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
# Producers name the same few organisations, projects and SKUs again and again; only texts that are right are kept.
_parse_id: Final = lru_cache(KNOWN_TEXTS_MAX)(parse_uuid_bytes)
_NIL: Final = UUID(NIL_UUID).bytes


class CheckedEvent(NamedTuple):
    """An event in its right form, with its content hash."""

    org_id: bytes
    project_id: bytes
    """16 bytes, or empty for none."""
    request_id: str
    sku: str
    quantity: int
    """Scaled int at 9 places."""
    event_time_us: int
    metadata: Mapping[str, str]
    source: int
    """As in EventSource; no part of the content."""
    content_hash: bytes


class Rejection(NamedTuple):
    """Why an event is not taken: a stable reason, the field, and a full sentence."""

    reason: str
    field: str
    message: str


class ReadableEvent(NamedTuple):
    """An event as a producer writes it: ids and numbers in text, the time in RFC 3339 or (seconds, nanos)."""

    org_id: str
    project_id: str
    request_id: str
    sku: str
    quantity: str
    event_time: str | tuple[int, int] | None
    metadata: Mapping[str, str]
    source: int | None = 0
    """As in EventSource; None for one that the contract does not name."""


class CompactEvent(NamedTuple):
    """An event in few bytes: 16-byte ids, a scaled quantity, microseconds."""

    org_id: bytes
    project_id: bytes
    request_id: bytes
    sku: str
    quantity_unscaled: int
    quantity_scale: int
    event_time_us: int
    metadata: Mapping[str, str]
    source: int | None = 0
    """As in EventSource; None for one that the contract does not name."""


def check_readable(event: ReadableEvent) -> CheckedEvent | Rejection:
    """Return the event in its right form, or why it is rejected; the first fault found counts."""
    field = "org_id"
    try:
        org_id = _parse_org_id(event.org_id)
        field = "project_id"
        project_id = _parse_id(event.project_id) if event.project_id else b""
        field = "request_id"
        request_id = check_request_id(event.request_id)
        field = "sku"
        sku = check_sku(event.sku)
        field = "quantity"
        quantity = parse_scaled(event.quantity, QUANTITY)
        field = "event_time"
        event_time_us = _time(event.event_time)
        field = "metadata"
        metadata = check_metadata(event.metadata)
        field = "source"
        source = _source(event.source)
    except ApportionError as error:
        return Rejection(error.reason, field, error.message)
    digest = content_hash(org_id, project_id, sku, quantity, event_time_us, metadata)
    return CheckedEvent(org_id, project_id, request_id, sku, quantity, event_time_us, metadata, source, digest)


def check_compact(event: CompactEvent) -> CheckedEvent | Rejection:
    """Check as `check_readable` does: a compact event means the same as the readable one with the same values."""
    field = "org_id"
    try:
        if len(event.org_id) != 16 or event.org_id == _NIL:
            check_org_id(event.org_id)
        field = "project_id"
        if len(event.project_id) not in (0, 16):
            uuid_of_bytes(event.project_id)
        field = "request_id"
        request_id = format_uuid(event.request_id)
        field = "sku"
        sku = check_sku(event.sku)
        field = "quantity"
        quantity = _unscaled(event.quantity_unscaled, event.quantity_scale)
        field = "event_time"
        event_time_us = check_time(event.event_time_us)
        field = "metadata"
        metadata = check_metadata(event.metadata)
        field = "source"
        source = _source(event.source)
    except ApportionError as error:
        return Rejection(error.reason, field, error.message)
    digest = content_hash(event.org_id, event.project_id, sku, quantity, event_time_us, metadata)
    return CheckedEvent(
        event.org_id, event.project_id, request_id, sku, quantity, event_time_us, metadata, source, digest
    )


def check_org_id(org_id: bytes) -> bytes:
    """Return the 16 bytes of an organisation's id; the nil UUID is nobody's. InvalidArgument ID_MALFORMED."""
    if not org_id or org_id == _NIL:
        raise InvalidArgument("ID_MALFORMED", "The event names no organisation.")
    return uuid_of_bytes(org_id).bytes


@lru_cache(KNOWN_TEXTS_MAX)
def check_sku(sku: str) -> str:
    """Return a SKU that has the form of one, such as `ACT-SMS`. InvalidArgument SKU_MALFORMED."""
    if len(sku) > SKU_CHARS_MAX or _SKU.fullmatch(sku) is None:
        raise InvalidArgument("SKU_MALFORMED", f"{sku[:SKU_CHARS_MAX]!r} is not a SKU such as 'ACT-SMS'.")
    return sku


def check_request_id(request_id: str) -> str:
    """Return a request id of 1 to 128 printable ASCII characters without spaces at its ends.

    InvalidArgument REQUEST_ID_MALFORMED.
    """
    if len(request_id) > REQUEST_ID_CHARS_MAX or _REQUEST_ID.fullmatch(request_id) is None:
        raise InvalidArgument(
            "REQUEST_ID_MALFORMED",
            f"A request id has 1 to {REQUEST_ID_CHARS_MAX} printable ASCII characters, without spaces at its ends.",
        )
    return request_id


def check_metadata(metadata: Mapping[str, str]) -> Mapping[str, str]:
    """Return labels: at most 50 and 1 KiB in all, no empty key. Reasons METADATA_TOO_LARGE, METADATA_MALFORMED."""
    if not metadata:
        return metadata
    if len(metadata) > METADATA_PAIRS_MAX:
        raise OutOfRange("METADATA_TOO_LARGE", f"An event has at most {METADATA_PAIRS_MAX} labels.")
    if "" in metadata:
        raise InvalidArgument("METADATA_MALFORMED", "A label has a name.")
    try:
        size_bytes = sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items())
    except UnicodeEncodeError:
        raise InvalidArgument("METADATA_MALFORMED", "A label is valid Unicode text.") from None
    if any("\0" in key or "\0" in value for key, value in metadata.items()):
        raise InvalidArgument("METADATA_MALFORMED", "A label has no NUL character.")
    if size_bytes > METADATA_BYTES_MAX:
        raise OutOfRange("METADATA_TOO_LARGE", f"An event's labels have at most {METADATA_BYTES_MAX} bytes in all.")
    return metadata


@lru_cache(KNOWN_TEXTS_MAX)
def _parse_org_id(text: str) -> bytes:
    return check_org_id(parse_uuid_bytes(text) if text else b"")


def _time(value: str | tuple[int, int] | None) -> int:
    if value is None:
        raise InvalidArgument("TIME_MALFORMED", "An event names its time.")
    return parse_time(value) if isinstance(value, str) else time_of(*value)


def _source(source: int | None) -> int:
    if source is None:
        raise InvalidArgument("SOURCE_UNKNOWN", "The source is none that the contract names.")
    return source


def _unscaled(unscaled: int, scale: int) -> int:
    if not 0 <= scale <= QUANTITY_PLACES:
        raise InvalidArgument("QUANTITY_TOO_PRECISE", f"A quantity has at most {QUANTITY_PLACES} decimal places.")
    return check_scaled(unscaled * 10 ** (QUANTITY_PLACES - scale), QUANTITY)
