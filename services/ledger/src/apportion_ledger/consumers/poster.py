"""The poster: rated batches of a lane become lines (spec 02; the lane's order is the order of payouts).

Here a message is decoded, a failing batch bisected, and the receipt of each batch encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

from apportion.common.v1 import lane_pb2 as common_lane_pb2
from apportion.ledger.v1 import lane_pb2
from apportion.pricing.v1 import lane_pb2 as pricing_lane_pb2
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.lanes.bisect import bisect
from apportion_common.lanes.model import (
    LaneMessage,
    LaneOutcome,
    LaneOutput,
    LanePosition,
    StreamInput,
    StreamOutput,
)
from apportion_common.lanes.runner import LaneRunner, register_fail_points
from apportion_common.lanes.traces import BatchTraces
from apportion_common.logs import get_logger
from apportion_common.metrics import counter
from apportion_common.topology import (
    LEDGER_OUT,
    POSTED_SUBJECT,
    POSTER_ROLE,
    PRICING_OUT,
    PROCESSING_FAILED,
    RATED_SUBJECT,
)
from google.protobuf.message import DecodeError
from nats.aio.client import Client

from apportion_ledger.app.charges import Charges
from apportion_ledger.app.period_closes import PeriodCloses
from apportion_ledger.app.terms import TermsCache
from apportion_ledger.domain.charges import Charge, ChargeBatch, Origin
from apportion_ledger.domain.posting import BatchOutcome, Conflict
from apportion_ledger.domain.terms import CommissionTerms
from apportion_ledger.limits import BATCH_LINES_MAX, CONFLICT_DETAIL_CHARS_MAX

SOURCE: Final = StreamInput(PRICING_OUT.name, RATED_SUBJECT)
OUTPUT: Final = StreamOutput(LEDGER_OUT.name, POSTED_SUBJECT)
UNREADABLE_BATCH_SEQ: Final = 2**63 - 1
"""The number of a message that cannot be read: beyond every other, so that its lane stops with BATCH_SEQ_GAP."""

LINES: Final = counter("apportion_ledger_lines_total", "Ledger lines written.")
KNOWN: Final = counter("apportion_ledger_known_charges_total", "Charges that came again and were written before.")
CONFLICTS: Final = counter(
    "apportion_ledger_conflicts_total", "Charges that contradict what is written, or fail alone."
)

register_fail_points(POSTER_ROLE)

log = get_logger(__name__)

RatedBatch = pricing_lane_pb2.RatedBatch
Message = LaneMessage[pricing_lane_pb2.RatedBatch]


class Poster:
    """The lane processor of the role ledger_poster. It holds nothing per lane: balances are read in each batch."""

    max_weight = BATCH_LINES_MAX

    def __init__(self, terms: TermsCache, charges: Charges, closes: PeriodCloses) -> None:
        self._terms = terms
        self._charges = charges
        self._closes = closes

    def decode(self, data: bytes) -> tuple[pricing_lane_pb2.RatedBatch, int]:
        """Return the rated batch and its number of charges; an unreadable one has UNREADABLE_BATCH_SEQ."""
        try:
            batch = RatedBatch.FromString(data)
        except DecodeError:
            return RatedBatch(batch_seq=UNREADABLE_BATCH_SEQ), 1
        return batch, max(len(batch.charges), 1)

    def batch_seq_of(self, value: pricing_lane_pb2.RatedBatch) -> int | None:
        """Return the batch's number on its lane."""
        return value.batch_seq

    async def forget(self, lane: int) -> None:
        """Do nothing: nothing is held for a lane."""

    async def process(self, tx: Transaction, position: LanePosition, messages: Sequence[Message]) -> LaneOutcome:
        """Write the lines of the batches, in order; publish one receipt a batch."""
        terms = await self._terms.current(tx)
        with _traces(position, messages) as traces:
            outcomes = await self._charges.post(tx, [batch_from_message(message.value) for message in messages], terms)
            for message in messages:
                await self._close_periods(tx, message.value)
            return _outcome(position, messages, outcomes, terms, traces)

    async def process_failed(
        self, tx: Transaction, position: LanePosition, message: Message, error: Exception
    ) -> LaneOutcome:
        """Write what can be written of a batch; what fails alone goes back as a conflict PROCESSING_FAILED."""
        terms = await self._terms.current(tx)
        with _traces(position, [message]) as traces:
            outcome = await self._post_bisected(tx, batch_from_message(message.value), terms)
            await self._close_periods(tx, message.value)
            log.error(
                "ledger.charges.quarantined",
                lane=position.lane,
                batch_seq=message.value.batch_seq,
                conflicts=len(outcome.conflicts),
                error=type(error).__name__,
            )
            return _outcome(position, [message], [outcome], terms, traces)

    async def _post_bisected(self, tx: Transaction, batch: ChargeBatch, terms: CommissionTerms) -> BatchOutcome:
        """Bisect a batch that fails until the charges that fail alone are found."""

        async def post(charges: Sequence[Charge]) -> BatchOutcome:
            return (await self._charges.post(tx, [ChargeBatch(batch.origin, charges)], terms))[0]

        async def quarantine(charge: Charge, error: Exception) -> BatchOutcome:
            return BatchOutcome(conflicts=[Conflict(charge, f"{PROCESSING_FAILED}: {type(error).__name__}")])

        await self._charges.hold_balances(tx, batch.charges, terms)
        return await bisect(tx, batch.charges, attempt=post, quarantine=quarantine, merge=_merged)

    async def _close_periods(self, tx: Transaction, batch: pricing_lane_pb2.RatedBatch) -> None:
        if batch.period_closes:
            closes = [(close.period, close.org_id) for close in batch.period_closes]
            await self._closes.record(tx, batch.lane, batch.batch_seq, closes)


def poster_runner(
    database: Database,
    client: Client,
    poster: Poster,
    *,
    worker_id: str,
    lease_s: int,
    paused: Callable[[], bool],
) -> LaneRunner[pricing_lane_pb2.RatedBatch]:
    """Return the runner that brings pricing's rated batches to the poster and its receipts to the stream.

    It works no lane while `paused()` is true.
    """
    return LaneRunner(
        database,
        client,
        role=POSTER_ROLE,
        source=SOURCE,
        output=OUTPUT,
        processor=poster,
        worker_id=worker_id,
        lease_s=lease_s,
        paused=paused,
    )


def batch_from_message(batch: pricing_lane_pb2.RatedBatch) -> ChargeBatch:
    """Return the charges of a rated batch."""
    # A NamedTuple's own constructor costs three times as much.
    new_tuple, from_bytes = tuple.__new__, int.from_bytes
    charges = [
        new_tuple(
            Charge,
            (
                c.charge_id, c.event_id, c.org_id, c.project_id, c.billing_account_id, c.mapping_id, c.sku, c.sku_type,
                from_bytes(c.quantity, "big", signed=True), c.currency, from_bytes(c.amount, "big", signed=True),
                c.event_time_us, c.period, c.entry_seq,
            ),
        )
        for c in batch.charges
    ]  # fmt: skip
    return ChargeBatch(Origin(batch.lane, batch.batch_seq, batch.catalog_revision, batch.orgs_revision), charges)


def _merged(parts: Sequence[BatchOutcome]) -> BatchOutcome:
    """Return the outcome of a batch from those of its parts, in order."""
    return BatchOutcome(
        [line_hash for part in parts for line_hash in part.hashes],
        sum(part.known_count for part in parts),
        [conflict for part in parts for conflict in part.conflicts],
    )


def _traces(position: LanePosition, messages: Sequence[Message]) -> BatchTraces:
    ranges = [trace for message in messages for trace in message.value.traces]
    first, last = messages[0].value.batch_seq, messages[-1].value.batch_seq
    return BatchTraces("ledger.post", ranges, {"lane": position.lane, "batch_seq_first": first, "batch_seq_last": last})


def _outcome(
    position: LanePosition,
    messages: Sequence[Message],
    outcomes: Sequence[BatchOutcome],
    terms: CommissionTerms,
    traces: BatchTraces,
) -> LaneOutcome:
    """Return the receipts, and the counters for once the batch is committed."""
    outputs = [
        LaneOutput(
            message.value.batch_seq,
            _receipt_to_message(message.value, outcome, terms.revision, traces).SerializeToString(),
        )
        for message, outcome in zip(messages, outcomes, strict=True)
    ]

    async def count() -> None:
        LINES.inc(sum(len(outcome.hashes) for outcome in outcomes))
        KNOWN.inc(sum(outcome.known_count for outcome in outcomes))
        CONFLICTS.inc(sum(len(outcome.conflicts) for outcome in outcomes))

    return LaneOutcome(outputs, messages[-1].value.batch_seq, position.next_entry_seq, count)


def _receipt_to_message(
    batch: pricing_lane_pb2.RatedBatch, outcome: BatchOutcome, revision: int, traces: BatchTraces
) -> lane_pb2.PostedBatch:
    return lane_pb2.PostedBatch(
        lane=batch.lane,
        batch_seq=batch.batch_seq,
        ledger_revision=revision,
        line_count=len(outcome.hashes),
        lines_digest=sha256(b"".join(outcome.hashes)).digest(),
        conflicts=[
            lane_pb2.ChargeConflict(
                charge_id=charge.charge_id,
                event_id=charge.event_id,
                org_id=charge.org_id,
                entry_seq=charge.entry_seq or 0,
                detail=detail[:CONFLICT_DETAIL_CHARS_MAX],
            )
            for charge, detail in outcome.conflicts
        ],
        period_closes=batch.period_closes,
        traces=[
            common_lane_pb2.TraceRange(traceparent=traces.onward(r.traceparent), first=r.first, count=r.count)
            for r in batch.traces
        ],
    )
