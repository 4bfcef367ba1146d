"""The envelope round every published event: who says what about whom, when, and within which trace."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar
from uuid import UUID

from apportion.common.v1.event_pb2 import EventEnvelope
from google.protobuf.message import DecodeError, Message

from apportion_common.errors import InvalidArgument
from apportion_common.ids import parse_uuid

M = TypeVar("M", bound=Message)


def make_envelope(
    event_id: UUID,
    event_type: str,
    source: str,
    time: datetime,
    payload: Message,
    *,
    org_id: UUID | None = None,
    traceparent: str = "",
) -> EventEnvelope:
    """Wrap a message: `event_type` such as "orgs.org.created", `source` the publishing service."""
    envelope = EventEnvelope(
        id=str(event_id), type=event_type, source=source, org_id=str(org_id or ""), traceparent=traceparent
    )
    envelope.time.FromDatetime(time)
    envelope.payload.Pack(payload)
    return envelope


def open_envelope(data: bytes) -> EventEnvelope:
    """Read an envelope; InvalidArgument ENVELOPE_MALFORMED when it is none or has no id to dedupe on."""
    try:
        envelope = EventEnvelope.FromString(data)
        parse_uuid(envelope.id)
    except (DecodeError, InvalidArgument) as error:
        raise InvalidArgument("ENVELOPE_MALFORMED", "The message is not an event envelope with an id.") from error
    return envelope


def unpack(envelope: EventEnvelope, message_type: type[M]) -> M:
    """Return the payload as that type; InvalidArgument PAYLOAD_TYPE when it holds another one."""
    message = message_type()
    try:
        fits = envelope.payload.Unpack(message)
    except DecodeError:
        fits = False
    if not fits:
        wanted = message_type.DESCRIPTOR.full_name
        raise InvalidArgument("PAYLOAD_TYPE", f"Event {envelope.type} does not carry a {wanted}.")
    return message
