"""What a lane's runner and a service's batch processor exchange."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from apportion_common.db.unit_of_work import Transaction

T = TypeVar("T")

WHOLE: Final = (0, 1)
"""The part index and part count of a batch in one message."""


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
    """One message of the lane's subject, decoded; `weight` is its number of entries.

    A batch in several parts is one of these too: with the joined value, the last part's `stream_seq` and `data`, the
    weight of all, and `messages` that it came in.
    """

    stream_seq: int
    data: bytes
    value: T
    weight: int
    messages: int = 1


@dataclass(frozen=True, slots=True)
class LanePosition:
    """The lane's state before a batch: last batch published or applied, next entry number."""

    lane: int
    batch_seq: int
    next_entry_seq: int


@dataclass(frozen=True, slots=True)
class LaneOutput:
    """One batch to publish, under its number, or one of the `part_count` parts of it (`part` counts from 0)."""

    batch_seq: int
    payload: bytes
    part: int = 0
    part_count: int = 1


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


LaneWork = tuple[LanePosition, Sequence[LaneMessage[T]]]
"""A lane's state, and the messages that come next on it."""


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

    def part_of(self, value: T) -> tuple[int, int]:
        """Return which part of its batch a message is (from 0), and how many parts that has."""
        ...

    def join(self, values: Sequence[T]) -> T:
        """Return the parts of one batch, in their order, as one value. Never raises, as `decode` does not.

        The parts stay as they are: a lane joins what it has buffered again when its transaction fails.
        """
        ...

    async def forget(self, lane: int) -> None:
        """Drop everything held in memory for the lane: the batch failed or the lane was lost."""
        ...

    async def process(self, tx: Transaction, work: Sequence[LaneWork[T]]) -> list[LaneOutcome]:
        """Apply the messages of each lane in order; return one outcome a lane. Raises to undo all of them.

        Lanes come in the order of their numbers, each once; when they fail together, each is processed alone.
        """
        ...

    async def process_failed(
        self, tx: Transaction, position: LanePosition, message: LaneMessage[T], error: Exception
    ) -> LaneOutcome:
        """Quarantine what fails alone in a message that `process` cannot apply, and apply the rest (`lanes.bisect`)."""
        ...


class WholeBatches(Generic[T]):
    """What a processor whose input has no parts says of them."""

    def part_of(self, value: T) -> tuple[int, int]:
        """Return (0, 1): each message is a whole."""
        return WHOLE

    def join(self, values: Sequence[T]) -> T:
        """Return the only value."""
        (value,) = values
        return value
