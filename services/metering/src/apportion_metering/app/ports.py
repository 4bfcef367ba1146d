"""What metering's use cases need of the outside, as they need it; `store` and `consumers` fulfil it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from apportion.common.v1.audit_pb2 import AuditEntry, AuditQuery
from apportion_common.db.unit_of_work import Transaction
from sqlalchemy.ext.asyncio import AsyncConnection


class KeyTaken(Exception):
    """An id was claimed by another transaction between the probe and the COPY."""


class NewEvent(NamedTuple):
    """An event to store at its place. Ids have 16 bytes (`project_id` none for none)."""

    event_id: bytes
    org_id: bytes
    request_id: bytes
    """As UTF-8."""
    content_hash: bytes
    project_id: bytes
    sku: str
    quantity: bytes
    """Big-endian two's complement, scaled by 9 places."""
    event_time_us: int
    source: int
    received_at_us: int
    entry_seq: int
    metadata: str
    """JSON text, or empty for none."""


class NewKey(NamedTuple):
    """An id to claim; without `seq` the event is not stored."""

    org_id: bytes
    request_id: bytes
    content_hash: bytes
    event_id: bytes
    entry_seq: int | None


class NewDeadLetter(NamedTuple):
    """A dead letter to add, unless the same content of the same id is one already."""

    dead_letter_id: bytes
    org_id: bytes | None
    request_id: str | None
    event_id: bytes | None
    content_hash: bytes | None
    reason: str
    detail: str
    payload: bytes
    entry_seq: int | None


class TakenLetter(NamedTuple):
    """A requeued dead letter that the lane takes up."""

    attempt: int
    payload: bytes
    stored: bool
    """Whether its event is in metering_event already."""


class RefusedEvent(NamedTuple):
    """An event that pricing or the ledger refused at a place."""

    event_id: bytes
    entry_seq: int
    reason: str
    detail: str


class JournalEntry(NamedTuple):
    """A batch as the writer committed it."""

    lane: int
    batch_seq: int
    seq_from: int
    seq_to: int
    event_count: int


class RatedReceipt(NamedTuple):
    """What pricing answered to a batch."""

    batch_seq: int
    catalog_revision: int
    orgs_revision: int
    charge_count: int
    refusal_count: int


class PostedReceipt(NamedTuple):
    """What the ledger answered to a batch."""

    batch_seq: int
    ledger_revision: int
    line_count: int
    lines_digest: bytes


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which dead letters are meant; an empty field means all."""

    org_id: UUID | None = None
    reason: str = ""
    dead_letter_ids: tuple[UUID, ...] = ()
    state: str = ""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it stands."""

    dead_letter_id: UUID
    org_id: UUID | None
    request_id: str | None
    reason: str
    detail: str
    payload: bytes
    attempts: int
    state: str
    lane: int
    created_at: datetime


class RequeuedLetter(NamedTuple):
    """A dead letter on its way back into its lane."""

    dead_letter_id: bytes
    lane: int
    attempt: int


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """What is stored about an id."""

    request_id: str
    event_id: UUID
    lane: int
    batch_seq: int
    entry_seq: int | None
    letter_state: str
    """State of its dead letter, or empty."""
    letter_reason: str
    letter_taken: bool
    """Whether the lane has taken up the letter's last requeue."""


@dataclass(frozen=True, slots=True)
class LanePlace:
    """Where a lane stands."""

    lane: int
    stream_seq: int
    batch_seq: int
    rated_batch_seq: int
    posted_batch_seq: int
    stopped_reason: str


class Events(Protocol):
    """Stored events and their keys."""

    async def known(self, tx: Transaction, names: Sequence[bytes]) -> dict[bytes, bytes]:
        """The content hashes of those ids (org and request id as bytes, joined) that are claimed already."""
        ...

    async def add(
        self, tx: Transaction, lane: int, batch_seq: int, events: Sequence[NewEvent], keys: Sequence[NewKey]
    ) -> None:
        """Store events with their keys, and claim further keys. Raises KeyTaken, and then has done nothing."""
        ...

    async def add_without_keys(self, tx: Transaction, lane: int, batch_seq: int, events: Sequence[NewEvent]) -> None:
        """Store events whose keys are claimed already."""
        ...

    async def move(self, tx: Transaction, batch_seq: int, places: Sequence[tuple[bytes, bytes, int]]) -> None:
        """Give keys (org id, request id, seq) their new place."""
        ...

    async def status(self, connection: AsyncConnection, org_id: UUID, request_ids: Sequence[str]) -> list[KnownEvent]:
        """What is known of these ids of an organisation."""
        ...


class DeadLetters(Protocol):
    """Dead letters."""

    async def add(self, tx: Transaction, lane: int, letters: Sequence[NewDeadLetter]) -> None:
        """Add letters; one whose (org, request id, content) is there already changes nothing."""
        ...

    async def take(self, tx: Transaction, wanted: Mapping[bytes, int]) -> dict[bytes, TakenLetter]:
        """Lock and give those letters that wait for exactly this requeue (id → attempt)."""
        ...

    async def mark_taken(self, tx: Transaction, taken: Sequence[tuple[bytes, int]]) -> None:
        """Note that the lane took these (id, attempt) up."""
        ...

    async def reopen(self, tx: Transaction, refused: Sequence[tuple[bytes, int, str, str]]) -> None:
        """Open taken letters (id, attempt, reason, detail) again, with one attempt more."""
        ...

    async def refuse(
        self, tx: Transaction, lane: int, batch_seq: int, refused: Sequence[RefusedEvent]
    ) -> dict[str, int]:
        """Make or reopen the letters of events that were refused at a batch; gives how many by reason."""
        ...

    async def requeue(self, tx: Transaction, letters: LetterFilter, most: int) -> list[RequeuedLetter]:
        """Send open letters that match on their way, in the order of their lanes and places."""
        ...

    async def discard(self, tx: Transaction, letters: LetterFilter, reason: str, most: int) -> list[UUID]:
        """Close open letters that match, for good."""
        ...

    async def page(
        self, connection: AsyncConnection, letters: LetterFilter, after: tuple[datetime, UUID] | None, most: int
    ) -> list[Letter]:
        """Letters that match, oldest first, after a place."""
        ...


class Journal(Protocol):
    """The decision journal and the lanes' places."""

    async def add(self, tx: Transaction, entry: JournalEntry) -> None:
        """Write a batch down."""
        ...

    async def rated(self, tx: Transaction, lane: int, receipts: Sequence[RatedReceipt]) -> None:
        """Note pricing's answers."""
        ...

    async def posted(self, tx: Transaction, lane: int, receipts: Sequence[PostedReceipt]) -> None:
        """Note the ledger's answers."""
        ...

    async def places(self, connection: AsyncConnection) -> list[LanePlace]:
        """Where every lane stands."""
        ...

    async def event_total(self, connection: AsyncConnection) -> int:
        """Events stored, all time."""
        ...

    async def open_dead_letters(self, connection: AsyncConnection) -> dict[str, int]:
        """Open dead letters by reason."""
        ...

    async def waiting_controls(self, connection: AsyncConnection) -> int:
        """Control messages that are committed here and not on the stream yet."""
        ...


class IntakeStream(Protocol):
    """The stream that takes intake messages."""

    async def publish(self, messages: Sequence[tuple[int, bytes]]) -> None:
        """Publish (lane, message) all at once; returns when all are acknowledged. Raises Unavailable."""
        ...

    async def require_durable(self) -> None:
        """Raise FailedPrecondition STREAM_NOT_DURABLE unless the server flushes before it acknowledges."""
        ...

    async def is_durable(self) -> bool:
        """Whether the server is known to flush before it acknowledges."""
        ...

    async def last_seqs(self) -> dict[int, int]:
        """The stream sequence of each lane's last message; lanes without one are left out."""
        ...


class CommitReplies(Protocol):
    """Answers that lanes give to this process after their commit."""

    def expect(self, count: int) -> PendingReplies:
        """Make ready for the answers to `count` messages."""
        ...


class PendingReplies(Protocol):
    """Answers awaited by one call."""

    def subject(self, index: int) -> str:
        """Where the answer to a message is to go."""
        ...

    async def wait(self, timeout_s: float) -> list[bytes]:
        """All answers, in the messages' order. Raises TimeoutError."""
        ...

    def close(self) -> None:
        """Expect no more."""
        ...


class ReplySender(Protocol):
    """Answers calls that wait for a commit."""

    async def send(self, subject: str, payload: bytes) -> None:
        """Answer; a caller that has gone is nobody's fault."""
        ...


class AuditTrail(Protocol):
    """The service's audit entries."""

    async def page(self, query: AuditQuery) -> tuple[list[AuditEntry], str]:
        """Entries, newest first, and the token of the next page (empty after the last)."""
        ...
