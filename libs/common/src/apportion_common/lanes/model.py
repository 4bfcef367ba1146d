"""What a lane's runner and a service's batch processor exchange."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from apportion_common.db.unit_of_work import Transaction

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StreamInput:
    """Where a role reads: `<subject>.<lane>` of `stream`."""

    stream: str
    subject: str


@dataclass(frozen=True, slots=True)
class StreamOutput:
    """Where a role publishes: `<subject>.<lane>` of `stream`."""

    stream: str
    subject: str


@dataclass(frozen=True, slots=True)
class LaneMessage(Generic[T]):
    """One message of the lane's subject, decoded; `weight` is its number of entries."""

    stream_seq: int
    data: bytes
    value: T
    weight: int


@dataclass(frozen=True, slots=True)
class LanePosition:
    """The lane's state before a batch: last batch published or applied, next entry number."""

    lane: int
    batch_seq: int
    next_entry_seq: int


@dataclass(frozen=True, slots=True)
class LaneOutput:
    """One batch to publish, under its number."""

    batch_seq: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class LaneOutcome:
    """What a batch came to: what to publish, and the lane's state after it.

    `after_commit` runs once the transaction is committed, such as answering callers that waited for it; it
    must not fail the batch.
    """

    outputs: Sequence[LaneOutput]
    batch_seq: int
    next_entry_seq: int
    after_commit: Callable[[], Awaitable[None]] | None = None


class LaneProcessor(Protocol[T]):
    """A role's rules for a batch. All it writes, it writes in the transaction that it is given."""

    max_weight: int
    """Entries that one transaction may hold."""

    def decode(self, data: bytes) -> tuple[T, int]:
        """Return a message's value and weight. Never raises: what cannot be decoded is a value too."""
        ...

    def batch_seq_of(self, value: T) -> int | None:
        """Return the batch number that a message carries, or None where the role numbers batches itself."""
        ...

    async def forget(self, lane: int) -> None:
        """Drop everything held in memory for the lane: the batch failed or the lane was lost."""
        ...

    async def process(self, tx: Transaction, position: LanePosition, messages: Sequence[LaneMessage[T]]) -> LaneOutcome:
        """Apply the messages in order. Raises to undo all of them."""
        ...

    async def process_failed(
        self, tx: Transaction, position: LanePosition, message: LaneMessage[T], error: Exception
    ) -> LaneOutcome:
        """Quarantine what fails alone in a message that `process` cannot apply, and apply the rest (`lanes.bisect`)."""
        ...
