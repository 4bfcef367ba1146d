"""Publishing to streams: many messages in flight, every acknowledgement awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from nats.aio.client import Client
from nats.errors import MaxPayloadError
from nats.js import JetStreamContext
from nats.js.api import PubAck
from nats.js.errors import APIError

MESSAGE_ID: Final = "Nats-Msg-Id"
ACK_TIMEOUT_S: Final = 4
"""Longest wait for an acknowledgement; below the time a transaction may stand idle."""
IN_FLIGHT_MAX: Final = 512
IN_FLIGHT_BYTES_MAX: Final = 8 * 1024 * 1024
PAYLOAD_BYTES_MAX: Final = 1024 * 1024
"""The servers' limit, headers included. The client library checks the body alone; beyond it the server cuts the
connection, with everything else that was in flight on it."""
STREAM_MESSAGE_TOO_LARGE: Final = 10054
"""JetStream's code for a message above the stream's own limit."""
_HEADER_FRAME_BYTES: Final = len("NATS/1.0\r\n\r\n")
_HEADER_LINE_BYTES: Final = len(": \r\n")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish; `msg_id` lets the stream drop a second copy."""

    subject: str
    payload: bytes
    msg_id: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def all_headers(self) -> dict[str, str]:
        """Return the headers with the message id."""
        return {**self.headers, MESSAGE_ID: self.msg_id}


def wire_bytes(payload: bytes, headers: Mapping[str, str]) -> int:
    """Return the size of a message as the server counts it: payload and headers."""
    if not headers:
        return len(payload)
    lines = sum(len(key.encode()) + len(value.encode()) + _HEADER_LINE_BYTES for key, value in headers.items())
    return len(payload) + _HEADER_FRAME_BYTES + lines


def check_size(client: Client, payload: bytes, headers: Mapping[str, str]) -> None:
    """Raise MaxPayloadError for a message that the connection's server does not take, headers included."""
    if wire_bytes(payload, headers) > min(PAYLOAD_BYTES_MAX, client.max_payload):
        raise MaxPayloadError


def is_too_large(error: BaseException) -> bool:
    """Return whether a publish failed by the message's size, so that it fails again however often it is sent."""
    if isinstance(error, APIError):
        return error.err_code == STREAM_MESSAGE_TOO_LARGE
    return isinstance(error, MaxPayloadError)


async def publish_one(js: JetStreamContext, message: Outgoing, *, timeout_s: int = ACK_TIMEOUT_S) -> PubAck:
    """Publish one message and await its acknowledgement; nats.errors.Error, MaxPayloadError for an oversized one."""
    headers = message.all_headers()
    check_size(js._nc, message.payload, headers)
    # Not publish_async: in nats-py 2.16 a refusal by the stream never reaches the future that it gives.
    return await js.publish(message.subject, message.payload, timeout=timeout_s, headers=headers)


async def publish_all(
    js: JetStreamContext, messages: Sequence[Outgoing], *, timeout_s: int = ACK_TIMEOUT_S
) -> list[PubAck | Exception]:
    """Publish messages in order, at most IN_FLIGHT_MAX at once, and return each one's acknowledgement or error.

    An error does not say that the message was not stored: publish it again under the same id.
    """
    outcomes: list[PubAck | Exception] = []
    for group in _groups(messages):
        answers = await asyncio.gather(
            *(publish_one(js, message, timeout_s=timeout_s) for message in group), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, Exception):
                raise answer
            outcomes.append(answer)
    return outcomes


def _groups(messages: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    """Cut the messages into groups that may be in flight together."""
    group: list[Outgoing] = []
    size_bytes = 0
    for message in messages:
        full = len(group) == IN_FLIGHT_MAX or size_bytes + len(message.payload) > IN_FLIGHT_BYTES_MAX
        if group and full:
            yield group
            group, size_bytes = [], 0
        group.append(message)
        size_bytes += len(message.payload)
    if group:
        yield group
