"""The poster: rated batches of a lane become lines (spec 02; the lane's order is the order of payouts).

`rated_batches` decodes what comes, `receipts` encodes what goes; here a failing batch is bisected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Final

from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.lanes.bisect import bisect
from apportion_common.lanes.model import (
    LaneMessage,
    LaneOutcome,
    LanePosition,
    LaneWork,
    StreamInput,
    StreamOutput,
)
from apportion_common.lanes.runner import LaneRunner, register_fail_points
from apportion_common.lanes.traces import BatchTraces
from apportion_common.logs import get_logger
from apportion_common.metrics import counter
from apportion_common.period_closes import PeriodChange
from apportion_common.topology import (
    LEDGER_OUT,
    POSTED_SUBJECT,
    POSTER_ROLE,
    PRICING_OUT,
    PROCESSING_FAILED,
    RATED_SUBJECT,
)
from nats.aio.client import Client

from apportion_ledger.app.charges import Charges
from apportion_ledger.app.period_closes import PeriodCloses
from apportion_ledger.app.terms import TermsCache
from apportion_ledger.consumers.rated_batches import Rated, decode_rated, join_rated
from apportion_ledger.consumers.receipts import receipt_to_outputs
from apportion_ledger.domain.charges import Charge, ChargeBatch
from apportion_ledger.domain.posting import BatchOutcome, Conflict
from apportion_ledger.domain.terms import CommissionTerms
from apportion_ledger.limits import BATCH_LINES_MAX

SOURCE: Final = StreamInput(PRICING_OUT.name, RATED_SUBJECT)
OUTPUT: Final = StreamOutput(LEDGER_OUT.name, POSTED_SUBJECT)
LINES: Final = counter("apportion_ledger_lines_total", "Ledger lines written.")
KNOWN: Final = counter("apportion_ledger_known_charges_total", "Charges that came again and were written before.")
CONFLICTS: Final = counter(
    "apportion_ledger_conflicts_total", "Charges that contradict what is written, or fail alone."
)

register_fail_points(POSTER_ROLE)

log = get_logger(__name__)

Message = LaneMessage[Rated]


class Poster:
    """The lane processor of the role ledger_poster. It holds nothing per lane: balances are read in each batch."""

    max_weight = BATCH_LINES_MAX

    def __init__(self, terms: TermsCache, charges: Charges, closes: PeriodCloses) -> None:
        self._terms = terms
        self._charges = charges
        self._closes = closes

    def decode(self, data: bytes) -> tuple[Rated, int]:
        """Return the rated batch, or the part of one, and its number of charges, at least 1."""
        rated = decode_rated(data)
        return rated, max(len(rated.batch.charges), 1)

    def batch_seq_of(self, value: Rated) -> int | None:
        """Return the batch's number on its lane."""
        return value.batch_seq

    def part_of(self, value: Rated) -> tuple[int, int]:
        """Return which part of its batch a message is, and how many there are."""
        return value.part, value.part_count

    def join(self, values: Sequence[Rated]) -> Rated:
        """Return the parts of a batch as one."""
        return join_rated(values)

    async def forget(self, lane: int) -> None:
        """Do nothing: nothing is held for a lane."""

    async def process(self, tx: Transaction, work: Sequence[LaneWork[Rated]]) -> list[LaneOutcome]:
        """Write the lines of the lanes' batches, in order; publish one receipt a batch."""
        terms = await self._terms.current(tx)
        with ExitStack() as spans:
            traces = [spans.enter_context(_traces(position, messages)) for position, messages in work]
            rated = [message.value for _, messages in work for message in messages]
            posted = iter(await self._charges.post(tx, [batch.batch for batch in rated], terms))
            for batch in rated:
                await self._close_periods(tx, batch)
            return [
                _outcome(position, messages, list(islice(posted, len(messages))), terms, of_lane)
                for (position, messages), of_lane in zip(work, traces, strict=True)
            ]

    async def process_failed(
        self, tx: Transaction, position: LanePosition, message: Message, error: Exception
    ) -> LaneOutcome:
        """Write what can be written of a batch; what fails alone goes back as a conflict PROCESSING_FAILED."""
        terms = await self._terms.current(tx)
        with _traces(position, [message]) as traces:
            outcome = await self._post_bisected(tx, message.value.batch, terms)
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

    async def _close_periods(self, tx: Transaction, rated: Rated) -> None:
        lane = rated.batch.origin.lane
        if rated.period_closes and lane is not None:
            changes = [
                PeriodChange(close.period, close.org_id or None, close.reopening) for close in rated.period_closes
            ]
            await self._closes.record(tx, lane, rated.batch_seq, changes)


def poster_runner(
    database: Database,
    client: Client,
    poster: Poster,
    *,
    worker_id: str,
    lease_s: int,
    paused: Callable[[], bool],
) -> LaneRunner[Rated]:
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
        output
        for message, outcome in zip(messages, outcomes, strict=True)
        for output in receipt_to_outputs(message.value, outcome, terms.revision, traces)
    ]

    async def count() -> None:
        LINES.inc(sum(len(outcome.hashes) for outcome in outcomes))
        KNOWN.inc(sum(outcome.known_count for outcome in outcomes))
        CONFLICTS.inc(sum(len(outcome.conflicts) for outcome in outcomes))

    return LaneOutcome(outputs, messages[-1].value.batch_seq, position.next_entry_seq, count)
