"""Why an event is not charged, and where a dead letter stands (spec 04 "Dead letters", spec 08 choice 8)."""

from __future__ import annotations

from typing import Final

from apportion_common.ids import EVENT_NAMESPACE, uuid5_bytes

UNKNOWN_ORG: Final = "UNKNOWN_ORG"
UNKNOWN_SKU: Final = "UNKNOWN_SKU"
NO_ENTITLEMENT: Final = "NO_ENTITLEMENT"
PERIOD_CLOSED: Final = "PERIOD_CLOSED"
EVENT_IN_FUTURE: Final = "EVENT_IN_FUTURE"
CORRECTION_BELOW_ZERO: Final = "CORRECTION_BELOW_ZERO"
PAYLOAD_MISMATCH: Final = "PAYLOAD_MISMATCH"
UNDECODABLE: Final = "UNDECODABLE"
PROCESSING_FAILED: Final = "PROCESSING_FAILED"

REASONS: Final = (
    UNKNOWN_ORG,
    UNKNOWN_SKU,
    NO_ENTITLEMENT,
    PERIOD_CLOSED,
    EVENT_IN_FUTURE,
    CORRECTION_BELOW_ZERO,
    PAYLOAD_MISMATCH,
    UNDECODABLE,
    PROCESSING_FAILED,
)
NEVER_REQUEUED: Final = (PAYLOAD_MISMATCH, UNDECODABLE)
"""The first content of an id stands for ever, and what cannot be read cannot be sent again."""

OPEN: Final = "open"
REQUEUED: Final = "requeued"
DISCARDED: Final = "discarded"
STATES: Final = (OPEN, REQUEUED, DISCARDED)


def dead_letter_id(event_id: bytes, content_hash: bytes) -> bytes:
    """Id of the dead letter of an event (16 bytes) with a content (32 bytes): one for ever, however often it fails."""
    return uuid5_bytes(event_id, b"dead-letter" + content_hash)


def raw_letter_id(lane: int, stream_seq: int, index: int, raw: bytes) -> bytes:
    """Id of the dead letter of bytes that name no event: it follows from where they stood and what they were."""
    return uuid5_bytes(EVENT_NAMESPACE, b"raw|%d|%d|%d|" % (lane, stream_seq, index) + raw)
