"""Dead letters: which may be requeued, their states and their ids (spec 04 "Dead letters", spec 08 choice 8).

The reasons themselves are the topology's, as pricing and the ledger name them too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from apportion_common.ids import EVENT_NAMESPACE, uuid5_bytes
from apportion_common.period_closes import PeriodCloses
from apportion_common.periods import parse_period, period_of
from apportion_common.topology import (
    DEAD_LETTER_REASONS,
    PAYLOAD_MISMATCH,
    PERIOD_CLOSED,
    PROCESSING_FAILED,
    UNDECODABLE,
)

from apportion_metering.errors import into_period_too_early, into_period_too_late
from apportion_metering.limits import DEAD_LETTER_DETAIL_CHARS_MAX

NEVER_REQUEUED: Final = (PAYLOAD_MISMATCH, UNDECODABLE)
"""The first content of an id stands forever, and what cannot be read cannot be sent again."""

OPEN: Final = "open"
REQUEUED: Final = "requeued"
DISCARDED: Final = "discarded"
STATES: Final = (OPEN, REQUEUED, DISCARDED)


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Which dead letters are meant; an empty field excludes none."""

    org_id: UUID | None = None
    reason: str = ""
    dead_letter_ids: tuple[UUID, ...] = ()
    state: str = ""

    @property
    def names_some(self) -> bool:
        """Whether it says more than a state, in which any dead letter may be."""
        return bool(self.org_id or self.reason or self.dead_letter_ids)


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


class IntoPeriods:
    """Which period bills a requeued event whose own is closed (spec 08 choice 18)."""

    def __init__(self, wanted: str, now_us: int, closes: PeriodCloses) -> None:
        """`wanted` is the period that the caller names, or empty; `now_us` the database's time. `closes` knows the
        present period and the next.

        Raises InvalidArgument INTO_PERIOD_TOO_LATE or PERIOD_MALFORMED, OutOfRange TIME_OUT_OF_RANGE.
        """
        self._wanted = parse_period(wanted).key if wanted else ""
        self._present, self._next = present_and_next(now_us)
        self._closes = closes
        if self._wanted > self._next:
            raise into_period_too_late(self._next)

    def of(self, reason: str, org_id: bytes, event_time_us: int) -> str:
        """Return the period that bills a dead letter of a reason, if its own is closed; empty: none may.

        Raises InvalidArgument INTO_PERIOD_TOO_EARLY where the caller names one before the event's own.
        """
        own = period_of(event_time_us).key
        if self._wanted:
            if self._wanted < own:
                raise into_period_too_early(own)
            return self._wanted if self._wanted > own else ""
        if reason != PERIOD_CLOSED:
            return ""
        into = self._next if self._closes.is_closed(self._present, org_id) else self._present
        return into if into > own else ""


def present_and_next(now_us: int) -> tuple[str, str]:
    """Return the period of an instant and the one after it."""
    present = period_of(now_us)
    return present.key, period_of(present.end_us).key


def reason_of(reason: str, detail: str) -> tuple[str, str]:
    """Return reason and detail of what another service rejected; a foreign reason is kept in the detail."""
    if reason not in DEAD_LETTER_REASONS:
        reason, detail = PROCESSING_FAILED, f"{reason}: {detail}"
    return reason, detail[:DEAD_LETTER_DETAIL_CHARS_MAX]
