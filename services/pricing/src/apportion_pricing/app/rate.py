"""The rater: takes metering's accepted batches of a lane in order, and charges or refuses each event at its place.

One transaction a batch: positions, charges, refusals, period closes, and the rated batch for the ledger. A batch is
rated under one catalog revision, locked until the commit, and one revision of orgs, confirmed after the batch was read.
Nothing here is made per event but numbers, bytes and one message; logs, spans and metrics are per batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final

from apportion.common.v1.lane_pb2 import PeriodClose
from apportion.pricing.v1.lane_pb2 import RatedBatch
from apportion.pricing.v1.lane_pb2 import Refusal as RefusalMessage
from apportion_common.db.faults import classify
from apportion_common.db.head import current_revision
from apportion_common.db.unit_of_work import Transaction
from apportion_common.errors import Unavailable
from apportion_common.ids import charge_id
from apportion_common.lanes.model import LaneMessage, LaneOutcome, LaneOutput, LanePosition
from apportion_common.lanes.traces import BatchTraces, expand
from apportion_common.logs import get_logger
from apportion_common.protos import pack_int

from apportion_pricing import limits
from apportion_pricing.app import metrics
from apportion_pricing.app.accounts import AccountsView, Need, OrgsAccounts
from apportion_pricing.app.batches import Accepted, Close, Usage, decode_accepted
from apportion_pricing.app.catalog_cache import LIVE, OFF, SHADOW, Catalog, CatalogCache
from apportion_pricing.app.effective import (
    PERIOD_CLOSED,
    PROCESSING_FAILED,
    Effective,
    Position,
    effective_at,
    needs_of,
)
from apportion_pricing.app.ports import (
    ChargeConstants,
    ChargeStore,
    ClosedPeriod,
    PositionKey,
    PositionStore,
    RefusedEvent,
)
from apportion_pricing.domain.rating import Ladder, Refusal, step

ROLE: Final = "pricing_rater"
USAGE: Final = "usage"

_STEP_REFUSALS: Final = {
    Refusal.CORRECTION_BELOW_ZERO: (
        Refusal.CORRECTION_BELOW_ZERO.value,
        "The correction is larger than what the period has used so far.",
    ),
    Refusal.AMOUNT_OUT_OF_RANGE: (PROCESSING_FAILED, "The period's usage or the amount has more than 18 digits."),
}
_NO_LADDER: Final = Ladder(0, 0, (), (0,), (0,))

log = get_logger(__name__)


class Stretch:
    """An `Effective` made ready for the loop: where its usage counts, what its charges have in common."""

    __slots__ = ("closed", "constants", "effective", "end_us", "ladder", "live", "position", "start_us", "stored")

    def __init__(self, effective: Effective, position: Position, mode: str, constants: bytes) -> None:
        self.effective = effective
        self.start_us = effective.start_us
        self.end_us = effective.end_us
        self.ladder = effective.terms.ladder if effective.terms is not None else _NO_LADDER
        self.position = position
        self.live = mode == LIVE
        self.stored = mode != OFF
        self.constants = constants
        self.closed = False


class LaneMemory:
    """What a lane knows between batches; all of it can be read or resolved again."""

    def __init__(self, lane: int) -> None:
        self.lane = lane
        self.catalog_revision = -1
        self.orgs_revision = -1
        self.positions: dict[PositionKey, Position] = {}
        self.closed: set[tuple[str, bytes | None]] | None = None
        self.latest: dict[tuple[bytes, str], Stretch] = {}
        self.stretches: dict[tuple[bytes, str], list[Stretch]] = {}
        self.stretch_count = 0

    def start(self, catalog_revision: int, orgs_revision: int) -> None:
        """Drop the stretches of other revisions, and everything when there is too much of it."""
        if len(self.positions) > limits.CACHED_POSITIONS_PER_LANE:
            self.positions = {}
            self.catalog_revision = -1
        too_many = self.stretch_count > limits.CACHED_SEGMENTS_PER_LANE
        if too_many or (self.catalog_revision, self.orgs_revision) != (catalog_revision, orgs_revision):
            self.latest = {}
            self.stretches = {}
            self.stretch_count = 0
            self.catalog_revision = catalog_revision
            self.orgs_revision = orgs_revision

    def match(self, usages: Sequence[Usage]) -> tuple[list[Stretch | None], Sequence[Usage]]:
        """The known stretch of each event or None, and the events that have none."""
        latest, found, missed = self.latest, [], []
        for usage in usages:
            at_us = usage[6]
            stretch = latest.get((usage[2], usage[4]))
            if stretch is None or not stretch.start_us <= at_us < stretch.end_us:
                stretch = self.find(usage[2], usage[4], at_us)
                if stretch is None:
                    missed.append(usage)
            found.append(stretch)
        return found, missed

    def find(self, org_id: bytes, sku: str, at_us: int) -> Stretch | None:
        """The known stretch that an event falls in, which becomes the first to be looked at."""
        for stretch in self.stretches.get((org_id, sku), ()):
            if stretch.start_us <= at_us < stretch.end_us:
                self.latest[org_id, sku] = stretch
                return stretch
        return None

    def add(self, org_id: bytes, sku: str, stretch: Stretch) -> None:
        """Remember a stretch."""
        self.stretches.setdefault((org_id, sku), []).append(stretch)
        self.latest[org_id, sku] = stretch
        self.stretch_count += 1

    def position(self, key: PositionKey) -> Position:
        """The position of a key, read or not."""
        position = self.positions.get(key)
        if position is None:
            position = self.positions[key] = Position(key)
        return position

    def close(self, period: str, org_id: bytes | None) -> None:
        """Close a period, of one organisation or all."""
        assert self.closed is not None
        self.closed.add((period, org_id))
        for (of_org, _), stretches in self.stretches.items():
            if org_id is None or org_id == of_org:
                for stretch in stretches:
                    if stretch.effective.period == period:
                        stretch.closed = True

    def is_closed(self, period: str, org_id: bytes) -> bool:
        """Whether an organisation's period is closed."""
        return self.closed is not None and ((period, None) in self.closed or (period, org_id) in self.closed)


class Rated:
    """What some entries of one accepted batch came to."""

    def __init__(self, batch: RatedBatch, sources: list[str], stored: int) -> None:
        self.batch = batch
        self.sources = sources
        """The traceparent that each charge's event came with."""
        self.stored = stored
        """Charges that were stored, published or not."""


class _Work:
    """What one transaction has to write."""

    def __init__(self) -> None:
        self.rows: list[bytes] = []
        self.refused: list[RefusedEvent] = []
        self.closed: list[ClosedPeriod] = []
        self.touched: set[Position] = set()


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
        self._lanes: dict[int, LaneMemory] = {}

    def decode(self, data: bytes) -> tuple[Accepted, int]:
        """A message's batch, and its number of entries."""
        batch = decode_accepted(data)
        return batch, len(batch.entries)

    def pos_of(self, value: Accepted) -> int:
        """The number that metering gave the batch."""
        return value.pos

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
        first.batch.refusals.extend(second.batch.refusals)
        first.batch.period_closes.extend(second.batch.period_closes)
        return Rated(first.batch, first.sources + second.sources, first.stored + second.stored)

    async def _set_aside(self, tx: Transaction, lane: int, batch: Accepted, index: int, error: Exception) -> Rated:
        """Refuse an entry that fails alone. A control entry is never set aside: without it the lane would go wrong."""
        entry = batch.entries[index]
        if isinstance(entry, Close):
            raise error
        seq, event_id, org_id, _, sku, _, event_time_us = entry
        log.error("pricing.event.set_aside", lane=lane, pos=batch.pos, seq=seq, error=type(error).__name__)
        catalog = await self._catalog.at(await current_revision(tx.connection, share=True), tx.connection)
        orgs_revision = (await self._accounts.confirm(())).revision
        detail = f"Rating failed: {type(error).__name__}."
        refused = RefusedEvent(
            event_id,
            seq,
            org_id,
            sku,
            event_time_us,
            PROCESSING_FAILED,
            detail[: limits.REFUSAL_DETAIL_CHARS],
            batch.pos,
        )
        await self._charges.write_refusals(tx, lane, catalog.revision, orgs_revision, [refused])
        rated = RatedBatch(lane=lane, pos=batch.pos, catalog_revision=catalog.revision, orgs_revision=orgs_revision)
        rated.refusals.append(_refusal_message(refused))
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
            stretches = await self._resolve(tx, memory, usages)
            await self._read_positions(tx, stretches)
            work = _Work()
            places = iter(stretches)
            rated = [
                self._rate_part(memory, batch, start, part, places, work)
                for batch, part in zip(batches, parts, strict=True)
            ]
            await self._write(tx, memory, work)
        except BaseException:
            self._lanes.pop(lane, None)
            raise
        return rated

    async def _resolve(self, tx: Transaction, memory: LaneMemory, usages: Sequence[Usage]) -> list[Stretch]:
        """The stretch of each event, under the newest catalog (locked from here on) and a confirmed revision of orgs.

        Orgs is asked before the catalog is locked, so that a slow answer holds up no configuration write.
        """
        catalog = await self._catalog.latest(tx.connection)
        for _ in range(limits.REVISION_CHANGES):
            memory.start(catalog.revision, memory.orgs_revision)
            found, missed = memory.match(usages)
            accounts = await self._accounts.confirm(_needs(catalog, missed))
            if accounts.revision != memory.orgs_revision:
                memory.start(catalog.revision, accounts.revision)
                found, missed = [None] * len(usages), usages
                await self._accounts.fill(accounts, _needs(catalog, missed))
            revision = await current_revision(tx.connection, share=True)
            if revision == catalog.revision:
                metrics.SEGMENTS.labels("miss").inc(len(missed))
                metrics.SEGMENTS.labels("hit").inc(len(usages) - len(missed))
                return [
                    stretch if stretch is not None else self._stretch(memory, catalog, accounts, usage)
                    for stretch, usage in zip(found, usages, strict=True)
                ]
            catalog = await self._catalog.at(revision, tx.connection)
        raise Unavailable("CATALOG_CHANGING", "The catalog or orgs changed too often while a batch was rated.")

    def _stretch(self, memory: LaneMemory, catalog: Catalog, accounts: AccountsView, usage: Usage) -> Stretch:
        """The stretch of an event, resolved unless an event before it in the batch has brought it up."""
        org_id, sku, at_us = usage[2], usage[4], usage[6]
        known = memory.find(org_id, sku, at_us)
        return known if known is not None else self._new_stretch(memory, catalog, accounts, org_id, sku, at_us)

    def _new_stretch(
        self, memory: LaneMemory, catalog: Catalog, accounts: AccountsView, org_id: bytes, sku: str, at_us: int
    ) -> Stretch:
        effective = effective_at(catalog, accounts, org_id, sku, at_us)
        mode = catalog.mode_of(org_id)
        constants = b""
        if effective.terms is not None and effective.account is not None:
            constants = self._charges.constants(
                ChargeConstants(
                    org_id=org_id,
                    account=effective.account,
                    terms=effective.terms,
                    sku=sku,
                    period=effective.period,
                    mode=mode,
                    catalog_revision=memory.catalog_revision,
                    orgs_revision=memory.orgs_revision,
                    lane=memory.lane,
                )
            )
        key = org_id, sku, effective.period
        position = Position(key) if effective.refused is not None else memory.position(key)
        stretch = Stretch(effective, position, mode, constants)
        stretch.closed = memory.is_closed(effective.period, org_id)
        memory.add(org_id, sku, stretch)
        return stretch

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

    def _rate_part(
        self,
        memory: LaneMemory,
        batch: Accepted,
        start: int,
        entries: Sequence[Usage | Close],
        stretches: Iterator[Stretch],
        work: _Work,
    ) -> Rated:
        """Rate the entries of one batch (the first is its `start`th), in memory; `stretches` gives each event's."""
        pos = batch.pos
        rated = RatedBatch(
            lane=memory.lane,
            pos=pos,
            catalog_revision=memory.catalog_revision,
            orgs_revision=memory.orgs_revision,
        )
        came_from = expand(batch.traces, len(batch.entries)) if batch.traces else None
        sources: list[str] = []
        stored_before = len(work.rows)
        add_charge, add_row, touch, row = rated.charges.add, work.rows.append, work.touched.add, self._charges.row
        for index, entry in enumerate(entries, start):
            if isinstance(entry, Close):
                memory.close(entry.period, entry.org_id)
                work.closed.append(ClosedPeriod(entry.period, entry.org_id, pos, entry.seq))
                rated.period_closes.append(PeriodClose(period=entry.period, org_id=entry.org_id or b""))
                continue
            seq, event_id, org_id, project_id, sku, quantity, event_time_us = entry
            stretch = next(stretches)
            effective, position = stretch.effective, stretch.position
            if effective.refused is not None or stretch.closed:
                reason, detail = _why(stretch)
            else:
                before = position.quantity
                assert before is not None
                stepped = step(before, quantity, stretch.ladder)
                if not isinstance(stepped, Refusal):
                    position.quantity, amount = stepped
                    touch(position)
                    if stretch.stored:
                        charge = charge_id(event_id, USAGE)
                        add_row(
                            row(
                                stretch.constants,
                                pos,
                                charge,
                                event_id,
                                project_id,
                                quantity,
                                before,
                                amount,
                                event_time_us,
                                seq,
                            )
                        )
                        if stretch.live:
                            account, terms = effective.account, effective.terms
                            assert account is not None
                            assert terms is not None
                            add_charge(
                                charge_id=charge,
                                event_id=event_id,
                                org_id=org_id,
                                project_id=project_id,
                                billing_account_id=account.account_id,
                                mapping_id=account.mapping_id,
                                sku=sku,
                                sku_type=terms.sku_type,
                                quantity=pack_int(quantity),
                                currency=terms.currency,
                                amount=pack_int(amount),
                                event_time_us=event_time_us,
                                period=effective.period,
                                seq=seq,
                            )
                            if came_from is not None:
                                sources.append(came_from[index])
                    continue
                reason, detail = _STEP_REFUSALS[stepped]
            refused = RefusedEvent(event_id, seq, org_id, sku, event_time_us, reason, detail, pos)
            work.refused.append(refused)
            rated.refusals.append(_refusal_message(refused))
        return Rated(rated, sources, len(work.rows) - stored_before)

    async def _write(self, tx: Transaction, memory: LaneMemory, work: _Work) -> None:
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
        places = {"lane": position.lane, "pos_first": batches[0].pos, "pos_last": batches[-1].pos}
        return BatchTraces("pricing.rate", ranges, places)

    @staticmethod
    def _outcome(
        position: LanePosition, batches: Sequence[Accepted], rated: Sequence[Rated], traces: BatchTraces
    ) -> LaneOutcome:
        outputs = []
        next_seq = position.next_seq
        for batch, result in zip(batches, rated, strict=True):
            result.batch.entry_count = len(batch.entries)
            result.batch.traces.extend(traces.ranges(result.sources))
            outputs.append(LaneOutput(batch.pos, result.batch.SerializeToString()))
            if batch.entries:
                last = batch.entries[-1]
                next_seq = (last.seq if isinstance(last, Close) else last[0]) + 1
        return LaneOutcome(outputs, batches[-1].pos, next_seq, _counting(rated))


def _needs(catalog: Catalog, usages: Iterable[Usage]) -> list[Need]:
    """What must be known of orgs for these events, each need once."""
    periods: dict[tuple[bytes, int], list[Need]] = {}
    for usage in usages:
        periods.setdefault((usage[2], usage[6]), [])
    return [need for org_id, at_us in periods for need in needs_of(catalog, org_id, at_us)]


def _why(stretch: Stretch) -> tuple[str, str]:
    """Reason and detail of a refusal that the step has no part in."""
    refused = stretch.effective.refused
    if refused is not None:
        return refused.reason, refused.detail
    return PERIOD_CLOSED, f"The period {stretch.effective.period} is closed."


def _refusal_message(refused: RefusedEvent) -> RefusalMessage:
    return RefusalMessage(
        event_id=refused.event_id,
        org_id=refused.org_id,
        seq=refused.seq,
        reason=refused.reason,
        detail=refused.detail,
    )


def _counting(rated: Sequence[Rated]) -> Callable[[], Awaitable[None]]:
    """What is counted once the batch stands."""

    async def count() -> None:
        published = sum(len(result.batch.charges) for result in rated)
        metrics.CHARGES.labels(LIVE).inc(published)
        metrics.CHARGES.labels(SHADOW).inc(sum(result.stored for result in rated) - published)
        reasons = Counter(refusal.reason for result in rated for refusal in result.batch.refusals)
        for reason, number in reasons.items():
            metrics.REFUSALS.labels(reason).inc(number)

    return count
