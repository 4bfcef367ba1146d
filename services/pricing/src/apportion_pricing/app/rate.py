"""The rater: takes metering's accepted batches of a lane in order, and charges or refuses each event at its place.

One transaction a batch: positions, charges, refusals, period closes, and the rated batch for the ledger. A batch is
rated under one catalog revision, locked until the commit, and one revision of orgs, confirmed after the batch was read.
Logs, spans and metrics are per batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from apportion.pricing.v1.lane_pb2 import RatedBatch
from apportion_common.db.head import current_revision
from apportion_common.db.unit_of_work import Transaction
from apportion_common.faults import classify
from apportion_common.lanes.model import LaneMessage, LaneOutcome, LaneOutput, LanePosition
from apportion_common.lanes.traces import BatchTraces
from apportion_common.logs import get_logger

from apportion_pricing import limits
from apportion_pricing.app import metrics
from apportion_pricing.app.accounts import OrgsAccounts
from apportion_pricing.app.batches import Accepted, Close, decode_accepted
from apportion_pricing.app.catalog_cache import LIVE, SHADOW, CatalogCache
from apportion_pricing.app.charging import Rated, Work, rate_entries, refusal_message, refused_event
from apportion_pricing.app.effective import PROCESSING_FAILED
from apportion_pricing.app.lane_memory import LaneMemory, Stretch
from apportion_pricing.app.ports import ChargeStore, PositionStore
from apportion_pricing.app.stretches import Stretches

ROLE: Final = "pricing_rater"

log = get_logger(__name__)


class Rater:
    """The batch processor of the role `pricing_rater`."""

    max_weight = limits.BATCH_ENTRIES

    def __init__(
        self, catalog: CatalogCache, accounts: OrgsAccounts, positions: PositionStore, charges: ChargeStore
    ) -> None:
        self._catalog = catalog
        self._accounts = accounts
        self._positions = positions
        self._charges = charges
        self._stretches = Stretches(catalog, accounts, charges)
        self._lanes: dict[int, LaneMemory] = {}

    def decode(self, data: bytes) -> tuple[Accepted, int]:
        """A message's batch, and its number of entries."""
        batch = decode_accepted(data)
        return batch, len(batch.entries)

    def batch_seq_of(self, value: Accepted) -> int:
        """The number that metering gave the batch."""
        return value.batch_seq

    async def forget(self, lane: int) -> None:
        """Drop a lane's memory: positions in it may be ahead of the database."""
        self._lanes.pop(lane, None)

    async def process(
        self, tx: Transaction, position: LanePosition, messages: Sequence[LaneMessage[Accepted]]
    ) -> LaneOutcome:
        """Rate whole batches in order. Raises Unavailable when orgs cannot be asked: the lane waits."""
        batches = [message.value for message in messages]
        with self._traced(position, batches) as traces:
            rated = await self._rate(tx, position.lane, batches)
            return self._outcome(position, batches, rated, traces)

    async def process_failed(
        self, tx: Transaction, position: LanePosition, message: LaneMessage[Accepted], error: Exception
    ) -> LaneOutcome:
        """Rate a batch that failed for a reason of its own; entries that fail alone are refused, PROCESSING_FAILED."""
        batch = message.value
        with self._traced(position, [batch]) as traces:
            rated = await self._halves(tx, position.lane, batch, 0, len(batch.entries))
            return self._outcome(position, [batch], [rated], traces)

    async def _halves(self, tx: Transaction, lane: int, batch: Accepted, start: int, end: int) -> Rated:
        """Rate the entries [start, end) under a savepoint; when they fail, each half of them."""
        try:
            async with tx.savepoint():
                return (await self._rate(tx, lane, [batch], start, end))[0]
        except Exception as error:
            self._lanes.pop(lane, None)
            if classify(error) == "infrastructure":
                raise
            if end == start:
                raise
            if end - start == 1:
                return await self._set_aside(tx, lane, batch, start, error)
        middle = (start + end) // 2
        first = await self._halves(tx, lane, batch, start, middle)
        second = await self._halves(tx, lane, batch, middle, end)
        first.batch.charges.extend(second.batch.charges)
        first.batch.rejections.extend(second.batch.rejections)
        first.batch.period_closes.extend(second.batch.period_closes)
        return Rated(first.batch, first.sources + second.sources, first.stored + second.stored)

    async def _set_aside(self, tx: Transaction, lane: int, batch: Accepted, index: int, error: Exception) -> Rated:
        """Refuse an entry that fails alone. A control entry is never set aside: without it the lane would go wrong."""
        entry = batch.entries[index]
        if isinstance(entry, Close):
            raise error
        log.error(
            "pricing.event.set_aside",
            lane=lane,
            batch_seq=batch.batch_seq,
            entry_seq=entry[0],
            error=type(error).__name__,
        )
        catalog = await self._catalog.at(await current_revision(tx.connection, share=True), tx.connection)
        orgs_revision = (await self._accounts.confirm(())).revision
        detail = f"Rating failed: {type(error).__name__}."[: limits.REFUSAL_DETAIL_CHARS]
        refused = refused_event(entry, batch.batch_seq, PROCESSING_FAILED, detail)
        await self._charges.write_refusals(tx, lane, catalog.revision, orgs_revision, [refused])
        rated = RatedBatch(
            lane=lane, batch_seq=batch.batch_seq, catalog_revision=catalog.revision, orgs_revision=orgs_revision
        )
        rated.rejections.append(refusal_message(refused))
        return Rated(rated, [], 0)

    async def _rate(
        self, tx: Transaction, lane: int, batches: Sequence[Accepted], start: int = 0, end: int | None = None
    ) -> list[Rated]:
        """Rate the batches (or a part of the entries of each) and write what they came to."""
        memory = self._lanes.setdefault(lane, LaneMemory(lane))
        try:
            if memory.closed is None:
                memory.closed = set(await self._charges.closed_periods(tx, lane))
            parts = [batch.entries[start:end] for batch in batches]
            usages = [entry for part in parts for entry in part if not isinstance(entry, Close)]
            stretches = await self._stretches.resolve(tx, memory, usages)
            await self._read_positions(tx, stretches)
            work = Work()
            places = iter(stretches)
            rated = [
                rate_entries(memory, batch, start, part, places, self._charges, work)
                for batch, part in zip(batches, parts, strict=True)
            ]
            await self._write(tx, memory, work)
        except BaseException:
            self._lanes.pop(lane, None)
            raise
        return rated

    async def _read_positions(self, tx: Transaction, stretches: Sequence[Stretch]) -> None:
        unread = {
            stretch.position
            for stretch in stretches
            if stretch.position.quantity is None and stretch.effective.refused is None
        }
        if unread:
            stored = await self._positions.load(tx, [position.key for position in unread])
            for position in unread:
                position.quantity = stored.get(position.key, 0)

    async def _write(self, tx: Transaction, memory: LaneMemory, work: Work) -> None:
        """Write what was decided. Positions are locked in the order of their keys."""
        if work.touched:
            positions = sorted((position.key, position.quantity or 0) for position in work.touched)
            await self._positions.save(tx, positions)
        if work.rows:
            await self._charges.write(tx, work.rows)
        if work.refused:
            await self._charges.write_refusals(
                tx, memory.lane, memory.catalog_revision, memory.orgs_revision, work.refused
            )
        if work.closed:
            await self._charges.write_closes(tx, memory.lane, work.closed)

    @staticmethod
    def _traced(position: LanePosition, batches: Sequence[Accepted]) -> BatchTraces:
        ranges = [item for batch in batches for item in batch.traces]
        places = {"lane": position.lane, "pos_first": batches[0].batch_seq, "pos_last": batches[-1].batch_seq}
        return BatchTraces("pricing.rate", ranges, places)

    @staticmethod
    def _outcome(
        position: LanePosition, batches: Sequence[Accepted], rated: Sequence[Rated], traces: BatchTraces
    ) -> LaneOutcome:
        outputs = []
        next_entry_seq = position.next_entry_seq
        for batch, result in zip(batches, rated, strict=True):
            result.batch.entry_count = len(batch.entries)
            result.batch.traces.extend(traces.ranges(result.sources))
            outputs.append(LaneOutput(batch.batch_seq, result.batch.SerializeToString()))
            if batch.entries:
                last = batch.entries[-1]
                next_entry_seq = (last.entry_seq if isinstance(last, Close) else last[0]) + 1
        return LaneOutcome(outputs, batches[-1].batch_seq, next_entry_seq, _counting(rated))


def _counting(rated: Sequence[Rated]) -> Callable[[], Awaitable[None]]:
    """What is counted once the batch stands."""

    async def count() -> None:
        published = sum(len(result.batch.charges) for result in rated)
        metrics.CHARGES.labels(LIVE).inc(published)
        metrics.CHARGES.labels(SHADOW).inc(sum(result.stored for result in rated) - published)
        reasons = Counter(refusal.reason for result in rated for refusal in result.batch.rejections)
        for reason, number in reasons.items():
            metrics.REFUSALS.labels(reason).inc(number)

    return count
