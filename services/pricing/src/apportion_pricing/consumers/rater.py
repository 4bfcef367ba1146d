"""The rater: takes metering's accepted batches of a lane in order, and charges or rejects each event at its place.

One transaction a batch: positions, charges, rejections, period closes, and the rated batch for the ledger. A batch is
rated under one catalog revision, locked until the commit, and one revision of orgs, confirmed after the batch was read.
Logs, spans and metrics are per batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from operator import index as quantity_of
from typing import Final

from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.lanes import LaneRunner, StreamInput, StreamOutput
from apportion_common.lanes.bisect import bisect
from apportion_common.lanes.model import (
    LaneMessage,
    LaneOutcome,
    LaneOutput,
    LanePosition,
    LaneWork,
    WholeBatches,
)
from apportion_common.lanes.runner import register_fail_points
from apportion_common.lanes.traces import BatchTraces
from apportion_common.logs import get_logger
from apportion_common.period_closes import PeriodCloses
from apportion_common.topology import ACCEPTED_SUBJECT, METERING_OUT, PRICING_OUT, RATED_SUBJECT, RATER_ROLE
from nats.aio.client import Client

from apportion_pricing import limits
from apportion_pricing.app import metrics
from apportion_pricing.app.lane_memory import LaneMemory, LaneSegment, Position
from apportion_pricing.app.segment_resolver import SegmentResolver
from apportion_pricing.consumers.batches import Accepted, decode_accepted
from apportion_pricing.consumers.charging import Work, rate_entries, rejected_event, rejection_to_message
from apportion_pricing.consumers.rated_batches import Rated, rated_to_outputs
from apportion_pricing.domain.engine_mode import EngineMode
from apportion_pricing.domain.entries import Close, Usage
from apportion_pricing.domain.rejections import RejectionReason
from apportion_pricing.store.charges import ChargeStore
from apportion_pricing.store.period_closes import PeriodCloseStore
from apportion_pricing.store.positions import UNUSED, PositionKey, PositionStore, StoredPosition
from apportion_pricing.store.rejections import RejectionStore

SOURCE: Final = StreamInput(METERING_OUT.name, ACCEPTED_SUBJECT)
OUTPUT: Final = StreamOutput(PRICING_OUT.name, RATED_SUBJECT)

log = get_logger(__name__)

register_fail_points(RATER_ROLE)


LaneBatches = tuple[int, Sequence[Accepted]]
"""A lane, and batches of it that follow one another."""


class Rater(WholeBatches[Accepted]):
    """The batch processor of the role `pricing_rater`."""

    max_weight = limits.BATCH_ENTRIES_MAX

    def __init__(
        self,
        segments: SegmentResolver,
        positions: PositionStore,
        charges: ChargeStore,
        rejections: RejectionStore,
        closes: PeriodCloseStore,
        *,
        packed: bool,
    ) -> None:
        """Rate by what `segments` resolves, and write to these stores; publish records where it is `packed`."""
        self._packed = packed
        self._segments = segments
        self._positions = positions
        self._charges = charges
        self._rejections = rejections
        self._closes = closes
        self._lanes: dict[int, LaneMemory] = {}

    def decode(self, data: bytes) -> tuple[Accepted, int]:
        """Return a message's batch, and its number of entries."""
        batch = decode_accepted(data)
        return batch, len(batch.entries)

    def batch_seq_of(self, value: Accepted) -> int:
        """Return the number that metering gave the batch."""
        return value.batch_seq

    async def forget(self, lane: int) -> None:
        """Drop a lane's memory: positions in it may be ahead of the database."""
        self._lanes.pop(lane, None)

    async def process(self, tx: Transaction, work: Sequence[LaneWork[Accepted]]) -> list[LaneOutcome]:
        """Rate the lanes' batches in order. Raises Unavailable when orgs cannot be asked: the lanes wait."""
        with ExitStack() as spans:
            lanes = [(position, [message.value for message in messages]) for position, messages in work]
            traces = [spans.enter_context(self._traced(position, batches)) for position, batches in lanes]
            rated = await self._rate(tx, [(position.lane, batches) for position, batches in lanes])
            return [
                self._outcome(position, batches, of_lane, lane_traces)
                for (position, batches), of_lane, lane_traces in zip(lanes, rated, traces, strict=True)
            ]

    async def process_failed(
        self, tx: Transaction, position: LanePosition, message: LaneMessage[Accepted], error: Exception
    ) -> LaneOutcome:
        """Rate a batch that failed for a reason of its own; entries that fail alone are rejected, PROCESSING_FAILED."""
        batch, lane = message.value, position.lane

        async def attempt(numbers: Sequence[int]) -> Rated:
            # From what is stored: a part that failed may have left the lane's memory ahead of it.
            self._lanes.pop(lane, None)
            start = numbers[0] if numbers else 0
            ((rated,),) = await self._rate(tx, [(lane, [batch])], start, start + len(numbers))
            return rated

        async def quarantine(number: int, error: Exception) -> Rated:
            self._lanes.pop(lane, None)
            return await self._quarantine(tx, lane, batch, number, error)

        with self._traced(position, [batch]) as traces:
            numbers = range(len(batch.entries))
            rated = await bisect(tx, numbers, attempt=attempt, quarantine=quarantine, merge=_merged)
            return self._outcome(position, [batch], [rated], traces)

    async def _quarantine(self, tx: Transaction, lane: int, batch: Accepted, index: int, error: Exception) -> Rated:
        """Reject an entry that fails alone. A control entry is never quarantined: the lane needs it."""
        entry = batch.entries[index]
        if isinstance(entry, Close):
            raise error
        log.error(
            "pricing.event.quarantined",
            lane=lane,
            batch_seq=batch.batch_seq,
            entry_seq=entry[0],
            error=type(error).__name__,
        )
        catalog_revision, orgs_revision = await self._segments.revisions(tx)
        detail = f"Rating failed: {type(error).__name__}."[: limits.DETAIL_CHARS_MAX]
        rejected = rejected_event(entry, batch.batch_seq, RejectionReason.PROCESSING_FAILED, detail)
        await self._rejections.write(tx, lane, catalog_revision, orgs_revision, [rejected])
        rated = Rated(lane, batch.batch_seq, catalog_revision, orgs_revision)
        rated.rejections.append(rejection_to_message(rejected))
        return rated

    async def _rate(
        self, tx: Transaction, lanes: Sequence[LaneBatches], start: int = 0, end: int | None = None
    ) -> list[list[Rated]]:
        """Rate the lanes' batches (or a part of the entries of each) and write what they came to."""
        try:
            parts = [[batch.entries[start:end] for batch in batches] for _, batches in lanes]
            wanted = []
            for (lane, _), of_lane in zip(lanes, parts, strict=True):
                memory = self._lanes.setdefault(lane, LaneMemory(lane))
                if memory.closes is None:
                    memory.closes = PeriodCloses(await self._closes.changes(tx, lane))
                usages = [entry for part in of_lane for entry in part if not isinstance(entry, Close)]
                wanted.append((memory, usages))
            segments = await self._segments.resolve(tx, wanted)
            await self._read_positions(tx, [segment for of_lane in segments for segment in of_lane])
            for (memory, usages), found in zip(wanted, segments, strict=True):
                await self._sum_corrected(tx, memory.lane, usages, found)
            work = [Work() for _ in lanes]
            rated = []
            for number, (_, batches) in enumerate(lanes):
                memory, of_event = wanted[number][0], iter(segments[number])
                rated.append(
                    [
                        rate_entries(memory, batch, start, part, of_event, self._charges, work[number])
                        for batch, part in zip(batches, parts[number], strict=True)
                    ]
                )
            await self._write(tx, [(memory, of_lane) for (memory, _), of_lane in zip(wanted, work, strict=True)])
        except BaseException:
            for lane, _ in lanes:
                self._lanes.pop(lane, None)
            raise
        return rated

    async def _read_positions(self, tx: Transaction, segments: Sequence[LaneSegment]) -> None:
        unread = {
            segment.position: segment.terms.model
            for segment in segments
            if segment.common is not None and segment.position.state is None
        }
        if unread:
            stored = await self._positions.load(tx, [position.key for position in unread])
            for position, model in unread.items():
                found = stored.get(position.key, UNUSED)
                position.state = model.restore(found.quantity)
                position.is_summed = found.charged is not None
                position.charged, position.shadowed = found.charged or 0, found.shadowed or 0

    async def _sum_corrected(
        self, tx: Transaction, lane: int, usages: Sequence[Usage], segments: Sequence[LaneSegment]
    ) -> None:
        """Sum up the charges of positions that are corrected and whose sums are from before they were kept."""
        unknown = {
            segment.position
            for usage, segment in zip(usages, segments, strict=True)
            if usage[5] < 0 and segment.common is not None and not segment.position.is_summed
        }
        for position in sorted(unknown, key=lambda position: position.key):
            position.charged, position.shadowed = await self._charges.sums(tx, lane, position.key)
            position.is_summed = True

    async def _write(self, tx: Transaction, work: Sequence[tuple[LaneMemory, Work]]) -> None:
        """Write what was decided. Positions are locked in the order of their keys."""
        touched = [position for _, of_lane in work for position in of_lane.touched]
        if touched:
            await self._positions.save(tx, sorted(map(_stored_position, touched)))
        rows = [row for _, of_lane in work for row in of_lane.rows]
        if rows:
            await self._charges.write(tx, rows)
        for memory, of_lane in work:
            if of_lane.rejected:
                revisions = memory.catalog_revision, memory.orgs_revision
                await self._rejections.write(tx, memory.lane, *revisions, of_lane.rejected)
            if of_lane.closed:
                await self._closes.write(tx, memory.lane, of_lane.closed)

    @staticmethod
    def _traced(position: LanePosition, batches: Sequence[Accepted]) -> BatchTraces:
        ranges = [item for batch in batches for item in batch.traces]
        cursor = {
            "lane": position.lane,
            "batch_seq_first": batches[0].batch_seq,
            "batch_seq_last": batches[-1].batch_seq,
        }
        return BatchTraces("pricing.rate", ranges, cursor)

    def _outcome(
        self, position: LanePosition, batches: Sequence[Accepted], rated: Sequence[Rated], traces: BatchTraces
    ) -> LaneOutcome:
        outputs: list[LaneOutput] = []
        next_entry_seq = position.next_entry_seq
        for batch, result in zip(batches, rated, strict=True):
            ranges = traces.ranges(result.sources)
            outputs += rated_to_outputs(result, len(batch.entries), ranges, packed=self._packed)
            if batch.entries:
                last = batch.entries[-1]
                next_entry_seq = (last.entry_seq if isinstance(last, Close) else last[0]) + 1
        return LaneOutcome(outputs, batches[-1].batch_seq, next_entry_seq, _counting(rated))


def rater_lanes(
    database: Database,
    client: Client,
    rater: Rater,
    *,
    worker_id: str,
    lease_s: float,
    paused: Callable[[], bool],
) -> LaneRunner[Accepted]:
    """Return the runner of the rater's lanes in this process; it works none while `paused()` is true."""
    return LaneRunner(
        database,
        client,
        role=RATER_ROLE,
        source=SOURCE,
        output=OUTPUT,
        processor=rater,
        worker_id=worker_id,
        lease_s=lease_s,
        paused=paused,
    )


def _stored_position(position: Position) -> tuple[PositionKey, StoredPosition]:
    charged, shadowed = (position.charged, position.shadowed) if position.is_summed else (None, None)
    return position.key, StoredPosition(quantity_of(position.state), charged, shadowed)


def _merged(parts: Sequence[Rated]) -> Rated:
    """Return the parts of a batch as one."""
    first = parts[0]
    for part in parts[1:]:
        first.add(part)
    return first


def _counting(rated: Sequence[Rated]) -> Callable[[], Awaitable[None]]:
    """Return what counts the batch once it is committed."""

    async def count() -> None:
        published = sum(len(result.charges) for result in rated)
        metrics.CHARGES.labels(EngineMode.LIVE.value).inc(published)
        metrics.CHARGES.labels(EngineMode.SHADOW.value).inc(sum(result.stored for result in rated) - published)
        reasons = Counter(rejection.reason for result in rated for rejection in result.rejections)
        for reason, number in reasons.items():
            metrics.REJECTIONS.labels(reason).inc(number)

    return count
