"""Receipts: what pricing and the ledger answered to each batch goes into the journal; rejections become dead letters.

Both are lanes like the writer's, read in the order of batch_seq. A rejection of a requeued event opens its dead letter
again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from apportion.common.v1.lane_pb2 import TraceRange
from apportion.ledger.v1.lane_pb2 import PostedBatch
from apportion.pricing.v1.lane_pb2 import RatedBatch
from apportion_common.db.unit_of_work import Transaction
from apportion_common.errors import FailedPrecondition
from apportion_common.lanes.model import WHOLE, LaneMessage, LaneOutcome, LanePosition, LaneWork
from apportion_common.lanes.records import CHARGE_RECORD, batch_seq_of
from apportion_common.lanes.traces import BatchTraces
from google.protobuf.message import DecodeError

from apportion_metering.app import metrics
from apportion_metering.domain.dead_letters import reason_of
from apportion_metering.limits import RECEIPT_BATCH_MESSAGES_MAX
from apportion_metering.store.dead_letters import DeadLetterStore, EventRejection
from apportion_metering.store.journal import JournalStore, PostedReceipt, RatedReceipt

B = TypeVar("B", RatedBatch, PostedBatch)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A receipt that cannot be read; the lane stops on it, because its number is not known."""


class _Receipts(Generic[B]):
    """What both kinds of receipts have in common."""

    max_weight = RECEIPT_BATCH_MESSAGES_MAX
    _span: str
    _type: type[B]

    def __init__(self, dead_letters: DeadLetterStore, journal: JournalStore) -> None:
        self._dead_letters = dead_letters
        self._journal = journal

    def decode(self, data: bytes) -> tuple[B | Unreadable, int]:
        """Return the receipt, or the part of one; each weighs one."""
        try:
            return self._type.FromString(data), 1
        except DecodeError:
            return Unreadable(), 1

    def batch_seq_of(self, value: B | Unreadable) -> int | None:
        """Return the batch's number; None of one that cannot be read."""
        return None if isinstance(value, Unreadable) else batch_seq_of(value)

    def part_of(self, value: B | Unreadable) -> tuple[int, int]:
        """Return which part of its receipt a message is, and how many there are."""
        return WHOLE if isinstance(value, Unreadable) else (value.part, value.part_count or 1)

    def join(self, values: Sequence[B | Unreadable]) -> B | Unreadable:
        """Return the parts of a receipt as one."""
        parts = [value for value in values if not isinstance(value, Unreadable)]
        if len(parts) < len(values):
            return Unreadable()
        return self._joined(parts)

    async def forget(self, lane: int) -> None:
        """Do nothing: nothing is held in memory between batches."""

    async def process(self, tx: Transaction, work: Sequence[LaneWork[B | Unreadable]]) -> list[LaneOutcome]:
        """Note the lanes' receipts, in order."""
        return [await self._process_lane(tx, position, messages) for position, messages in work]

    async def _process_lane(
        self, tx: Transaction, position: LanePosition, messages: Sequence[LaneMessage[B | Unreadable]]
    ) -> LaneOutcome:
        batches: list[B] = []
        for message in messages:
            if isinstance(message.value, Unreadable):
                raise FailedPrecondition("RECEIPT_UNREADABLE", "A receipt on the lane cannot be read.")
            batches.append(message.value)
        reasons: Counter[str] = Counter()
        with BatchTraces(self._span, _traces(batches), {"lane": position.lane, "batch_seq": batch_seq_of(batches[-1])}):
            await self._note(tx, position.lane, batches)
            for batch in batches:
                rejections = self._rejections(batch)
                if rejections:
                    reasons.update(await self._dead_letters.reject(tx, position.lane, batch_seq_of(batch), rejections))

        async def after_commit() -> None:
            for reason, count in reasons.items():
                metrics.DEAD_LETTERS.labels(reason).inc(count)

        return LaneOutcome(
            outputs=(),
            batch_seq=batch_seq_of(batches[-1]),
            next_entry_seq=position.next_entry_seq,
            after_commit=after_commit,
        )

    async def process_failed(
        self, tx: Transaction, position: LanePosition, message: LaneMessage[B | Unreadable], error: Exception
    ) -> LaneOutcome:
        """Raise the error: a receipt is the platform's own word, and one that cannot be noted is never stepped over."""
        raise error

    def _joined(self, parts: Sequence[B]) -> B:
        raise NotImplementedError

    async def _note(self, tx: Transaction, lane: int, batches: Sequence[B]) -> None:
        raise NotImplementedError

    def _rejections(self, batch: B) -> list[EventRejection]:
        raise NotImplementedError


class RatedReceipts(_Receipts[RatedBatch]):
    """The lane processor of PRICING_OUT."""

    _span = "metering.note_rated"
    _type = RatedBatch

    def _joined(self, parts: Sequence[RatedBatch]) -> RatedBatch:
        whole = RatedBatch()
        for part in parts:
            whole.MergeFrom(part)
        whole.records = b"".join([part.records for part in parts])
        return whole

    async def _note(self, tx: Transaction, lane: int, batches: Sequence[RatedBatch]) -> None:
        receipts = [
            RatedReceipt(
                batch_seq_of(batch),
                batch.catalog_revision,
                batch.orgs_revision,
                len(batch.charges) + len(batch.records) // CHARGE_RECORD.size,
                len(batch.rejections),
            )
            for batch in batches
        ]
        await self._journal.rated(tx, lane, receipts)

    def _rejections(self, batch: RatedBatch) -> list[EventRejection]:
        return [
            EventRejection(rejection.event_id, rejection.entry_seq, *reason_of(rejection.reason, rejection.detail))
            for rejection in batch.rejections
        ]


class PostedReceipts(_Receipts[PostedBatch]):
    """The lane processor of LEDGER_OUT. A charge id that came again with other content is a dead letter too."""

    _span = "metering.note_posted"
    _type = PostedBatch

    def _joined(self, parts: Sequence[PostedBatch]) -> PostedBatch:
        whole = PostedBatch()
        for part in parts:
            whole.MergeFrom(part)
        return whole

    async def _note(self, tx: Transaction, lane: int, batches: Sequence[PostedBatch]) -> None:
        receipts = [
            PostedReceipt(batch_seq_of(batch), batch.ledger_revision, batch.line_count, batch.lines_digest)
            for batch in batches
        ]
        await self._journal.posted(tx, lane, receipts)

    def _rejections(self, batch: PostedBatch) -> list[EventRejection]:
        return [
            EventRejection(conflict.event_id, conflict.entry_seq, *reason_of("CHARGE_CONFLICT", conflict.detail))
            for conflict in batch.conflicts
            # A charge of something else than an event has no event whose dead letter could tell of it.
            if conflict.event_id
        ]


def _traces(batches: Sequence[RatedBatch] | Sequence[PostedBatch]) -> list[TraceRange]:
    return [item for batch in batches for item in batch.traces]
