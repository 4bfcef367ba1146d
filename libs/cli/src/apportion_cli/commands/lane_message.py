"""`apportion lane-message`: what a message on a money lane says, with its packed records written out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import typer
from apportion.ledger.v1.lane_pb2 import PostedBatch
from apportion.metering.v1.lane_pb2 import AcceptedBatch, IntakeMessage
from apportion.pricing.v1.lane_pb2 import RatedBatch
from apportion_client.lane_messages import expand_accepted, expand_intake, expand_rated
from apportion_common.decimals import AMOUNT_PLACES, format_scaled
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from apportion_cli.display import print_line

HEX_PREFIX: Final = b"\\x"
"""What a bytea begins with as psql prints it."""
ID_BYTES: Final = 16
SCALED: Final = frozenset({"quantity", "amount"})
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class LaneMessageKind(StrEnum):
    """Which message it is, by the lane that carries it."""

    INTAKE = "intake"
    ACCEPTED = "accepted"
    RATED = "rated"
    POSTED = "posted"


def _intake(payloads: Sequence[bytes]) -> list[Message]:
    return [expand_intake(IntakeMessage.FromString(payload)) for payload in payloads]


def _accepted(payloads: Sequence[bytes]) -> list[Message]:
    return [expand_accepted(AcceptedBatch.FromString(payload)) for payload in payloads]


def _rated(payloads: Sequence[bytes]) -> list[Message]:
    return [expand_rated(*(RatedBatch.FromString(payload) for payload in payloads))]


def _posted(payloads: Sequence[bytes]) -> list[Message]:
    return [PostedBatch.FromString(payload) for payload in payloads]


READERS: Final[dict[LaneMessageKind, Callable[[Sequence[bytes]], list[Message]]]] = {
    LaneMessageKind.INTAKE: _intake,
    LaneMessageKind.ACCEPTED: _accepted,
    LaneMessageKind.RATED: _rated,
    LaneMessageKind.POSTED: _posted,
}


def lane_message(
    kind: Annotated[LaneMessageKind, typer.Argument(help="By its lane: metering.in is intake, metering.accepted, …")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="The message, raw or as psql prints a bytea; a rated batch's parts in order. None: stdin."),
    ] = None,
) -> None:
    """Print a lane's message as JSON for a person: records written out, ids as UUIDs, decimals, and times in UTC.

    Messages come from a stream (`nats stream get --raw`) or from a lane_outbox (`SELECT payload`).
    """
    payloads = [_payload(file.read_bytes()) for file in files] if files else [_payload(sys.stdin.buffer.read())]
    try:
        messages = READERS[kind](payloads)
    except (DecodeError, ValueError, IndexError) as error:
        raise typer.BadParameter(f"This is no {kind.value} message: {error}") from error
    for message in messages:
        print_line(json.dumps(readable(message), indent=2, ensure_ascii=False))


def readable(message: Message) -> dict[str, Any]:
    """Return a message's fields, in the order of the contract, as a person reads them."""
    return {field.name: _value(field, value) for field, value in message.ListFields()}


def _value(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return dict(value)
    if field.is_repeated:
        return [_single(field, item) for item in value]
    return _single(field, value)


def _single(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, Message):
        return readable(value)
    if isinstance(value, bytes):
        if field.name in SCALED:
            return format_scaled(int.from_bytes(value, "big", signed=True), AMOUNT_PLACES)
        return str(UUID(bytes=value)) if len(value) == ID_BYTES else value.hex()
    if field.name.endswith("_at_us") or field.name.endswith("_time_us"):
        return (EPOCH + timedelta(microseconds=value)).isoformat()
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    return value


def _payload(raw: bytes) -> bytes:
    """Return the message's bytes. BadParameter for text that is no hexadecimal."""
    text = raw.strip()
    if not text.startswith(HEX_PREFIX):
        return raw
    try:
        return bytes.fromhex(text[len(HEX_PREFIX) :].decode("ascii"))
    except ValueError as error:
        raise typer.BadParameter("What begins with \\x is hexadecimal to its end.") from error
