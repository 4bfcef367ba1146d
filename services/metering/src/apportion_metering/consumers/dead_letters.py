"""The dead letters that the writer makes of entries and messages."""

from __future__ import annotations

from typing import Final

from apportion_metering.consumers.intake import event_to_message
from apportion_metering.domain.dead_letters import dead_letter_id, raw_dead_letter_id
from apportion_metering.domain.entries import ORG_ID_BYTES, TakenEvent
from apportion_metering.limits import DEAD_LETTER_DETAIL_CHARS_MAX, DEAD_LETTER_PAYLOAD_BYTES_MAX, EVENT_LEAD_US_MAX
from apportion_metering.store.dead_letters import NewDeadLetter

IN_FUTURE_DETAIL: Final = f"The event lies more than {EVENT_LEAD_US_MAX // 60_000_000} minutes after its receipt."
MISMATCH_DETAIL: Final = "Another event came with this id before; the first stands."
INCOMPLETE_DETAIL: Final = "The entry lacks what every entry has."


def event_dead_letter(event: TakenEvent, event_id: bytes, reason: str, detail: str) -> NewDeadLetter:
    """Return the dead letter of an event; its id follows from the event's and its content."""
    return NewDeadLetter(
        dead_letter_id(event_id, event.content_hash),
        event.group.org_id,
        event.name[ORG_ID_BYTES:].decode(),
        event_id,
        event.content_hash,
        reason,
        detail,
        event_to_message(event).SerializeToString(),
        None,
    )


def raw_dead_letter(lane: int, stream_seq: int, index: int, raw: bytes, reason: str, detail: str) -> NewDeadLetter:
    """Return the dead letter of bytes that name no event."""
    return NewDeadLetter(
        raw_dead_letter_id(lane, stream_seq, index, raw),
        None,
        None,
        None,
        None,
        reason,
        detail[:DEAD_LETTER_DETAIL_CHARS_MAX],
        raw[:DEAD_LETTER_PAYLOAD_BYTES_MAX],
        None,
    )
