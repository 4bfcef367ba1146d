"""Receipts: what pricing and the ledger answered to each batch goes into the journal; refusals become dead letters.

Both are lanes like the writer's, read in the order of pos. A refusal of a requeued event opens its dead letter again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from apportion.common.v1.lane_pb2 import TraceRange
from apportion.ledger.v1.lane_pb2 import PostedBatch
from apportion.pricing.v1.lane_pb2 import RatedBatch
from apportion_common.db.unit_of_work import Transaction
from apportion_common.errors import FailedPrecondition
from apportion_common.lanes.model import LaneMessage, LaneOutcome, LanePosition
from apportion_common.lanes.traces import BatchTraces
from google.protobuf.message import DecodeError

from apportion_metering.app import metrics
from apportion_metering.app.ports import DeadLetters, Journal, PostedReceipt, RatedReceipt, RefusedEvent
from apportion_metering.domain.dead_letters import PROCESSING_FAILED, REASONS
from apportion_metering.limits import DEAD_LETTER_DETAIL_CHARS_MAX, RECEIPT_BATCH_MESSAGES_MAX

RATED_ROLE: Final = "metering_rated_receipts"
POSTED_ROLE: Final = "metering_posted_receipts"


B = TypeVar("B", RatedBatch, PostedBatch)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A receipt that cannot be read; the lane stops on it, because its number is not known."""


class _Receipts(Generic[B]):
    """What both kinds of receipts have in common."""

    max_weight = RECEIPT_BATCH_MESSAGES_MAX
    _span: str
    _type: type[B]

    def __init__(self, dead_letters: DeadLetters, journal: Journal) -> None:
        self._dead_letters = dead_letters
        self._journal = journal

    def decode(self, data: bytes) -> tuple[B | Unreadable, int]:
        """The receipt; each weighs one."""
        try:
            return self._type.FromString(data), 1
        except DecodeError:
            return Unreadable(), 1

    def batch_seq_of(self, value: B | Unreadable) -> int | None:
        """The batch's number; None of one that cannot be read."""
        return None if isinstance(value, Unreadable) else value.batch_seq

    async def forget(self, lane: int) -> None:
        """Nothing is held in memory between batches."""

    async def process(
        self, tx: Transaction, position: LanePosition, messages: Sequence[LaneMessage[B | Unreadable]]
    ) -> LaneOutcome:
        """Note the receipts, in order."""
        batches: list[B] = []
        for message in messages:
            if isinstance(message.value, Unreadable):
                raise FailedPrecondition("RECEIPT_UNREADABLE", "A receipt on the lane cannot be read.")
            batches.append(message.value)
        reasons: Counter[str] = Counter()
        with BatchTraces(self._span, _traces(batches), {"lane": position.lane, "pos": batches[-1].batch_seq}):
            await self._note(tx, position.lane, batches)
            for batch in batches:
                refused = self._refused(batch)
                if refused:
                    reasons.update(await self._dead_letters.refuse(tx, position.lane, batch.batch_seq, refused))

        async def after_commit() -> None:
            for reason, count in reasons.items():
                metrics.DEAD_LETTERS.labels(reason).inc(count)

        return LaneOutcome(
            outputs=(),
            batch_seq=batches[-1].batch_seq,
            next_entry_seq=position.next_entry_seq,
            after_commit=after_commit,
        )

    async def process_failed(
        self, tx: Transaction, position: LanePosition, message: LaneMessage[B | Unreadable], error: Exception
    ) -> LaneOutcome:
        """A receipt is the platform's own word: one that cannot be noted is never stepped over."""
        raise error

    async def _note(self, tx: Transaction, lane: int, batches: Sequence[B]) -> None:
        raise NotImplementedError

    def _refused(self, batch: B) -> list[RefusedEvent]:
        raise NotImplementedError


class RatedReceipts(_Receipts[RatedBatch]):
    """The LaneProcessor of PRICING_OUT."""

    _span = "metering.note_rated"
    _type = RatedBatch

    async def _note(self, tx: Transaction, lane: int, batches: Sequence[RatedBatch]) -> None:
        receipts = [
            RatedReceipt(
                batch.batch_seq, batch.catalog_revision, batch.orgs_revision, len(batch.charges), len(batch.rejections)
            )
            for batch in batches
        ]
        await self._journal.rated(tx, lane, receipts)

    def _refused(self, batch: RatedBatch) -> list[RefusedEvent]:
        return [
            RefusedEvent(refusal.event_id, refusal.entry_seq, *_reason(refusal.reason, refusal.detail))
            for refusal in batch.rejections
        ]


class PostedReceipts(_Receipts[PostedBatch]):
    """The LaneProcessor of LEDGER_OUT. A charge id that came again with other content is a dead letter too."""

    _span = "metering.note_posted"
    _type = PostedBatch

    async def _note(self, tx: Transaction, lane: int, batches: Sequence[PostedBatch]) -> None:
        receipts = [
            PostedReceipt(batch.batch_seq, batch.ledger_revision, batch.line_count, batch.lines_digest)
            for batch in batches
        ]
        await self._journal.posted(tx, lane, receipts)

    def _refused(self, batch: PostedBatch) -> list[RefusedEvent]:
        return [
            RefusedEvent(conflict.event_id, conflict.entry_seq, *_reason("CHARGE_CONFLICT", conflict.detail))
            for conflict in batch.conflicts
        ]


def _reason(reason: str, detail: str) -> tuple[str, str]:
    """The dead letter's reason and detail; a reason that is none of ours is kept in the detail."""
    if reason not in REASONS:
        reason, detail = PROCESSING_FAILED, f"{reason}: {detail}"
    return reason, detail[:DEAD_LETTER_DETAIL_CHARS_MAX]


def _traces(batches: Sequence[RatedBatch] | Sequence[PostedBatch]) -> list[TraceRange]:
    return [item for batch in batches for item in batch.traces]
