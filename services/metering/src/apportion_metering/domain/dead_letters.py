"""Dead letters: which may be requeued, their states and their ids (spec 04 "Dead letters", spec 08 choice 8).

The reasons themselves are the topology's, as pricing and the ledger name them too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from apportion_common.ids import EVENT_NAMESPACE, uuid5_bytes
from apportion_common.topology import DEAD_LETTER_REASONS, PAYLOAD_MISMATCH, PROCESSING_FAILED, UNDECODABLE

from apportion_metering.limits import DEAD_LETTER_DETAIL_CHARS_MAX

NEVER_REQUEUED: Final = (PAYLOAD_MISMATCH, UNDECODABLE)
"""The first content of an id stands forever, and what cannot be read cannot be sent again."""

OPEN: Final = "open"
REQUEUED: Final = "requeued"
DISCARDED: Final = "discarded"
STATES: Final = (OPEN, REQUEUED, DISCARDED)


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Which dead letters are meant; an empty field means all."""

    org_id: UUID | None = None
    reason: str = ""
    dead_letter_ids: tuple[UUID, ...] = ()
    state: str = ""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter and its state."""

    dead_letter_id: UUID
    org_id: UUID | None
    request_id: str | None
    reason: str
    detail: str
    payload: bytes
    """Its IntakeEvent; raw bytes when it names no event."""
    attempts: int
    state: str
    lane: int
    created_at: datetime


def dead_letter_id(event_id: bytes, content_hash: bytes) -> bytes:
    """Return the id of the dead letter of an event (16 bytes) with a content (32 bytes), however often it fails."""
    return uuid5_bytes(event_id, b"dead-letter" + content_hash)


def raw_dead_letter_id(lane: int, stream_seq: int, index: int, raw: bytes) -> bytes:
    """Return the id of the dead letter of bytes that name no event: of where they came and what they are."""
    return uuid5_bytes(EVENT_NAMESPACE, b"raw|%d|%d|%d|" % (lane, stream_seq, index) + raw)


def reason_of(reason: str, detail: str) -> tuple[str, str]:
    """Return reason and detail of what another service rejected; a foreign reason is kept in the detail."""
    if reason not in DEAD_LETTER_REASONS:
        reason, detail = PROCESSING_FAILED, f"{reason}: {detail}"
    return reason, detail[:DEAD_LETTER_DETAIL_CHARS_MAX]
