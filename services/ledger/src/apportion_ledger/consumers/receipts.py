"""Receipts of posted batches, as metering reads them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from apportion.common.v1.lane_pb2 import TraceRange
from apportion.ledger.v1.lane_pb2 import ChargeConflict, PostedBatch
from apportion_common.lanes.limits import OUTPUT_PART_BYTES_MAX
from apportion_common.lanes.model import LaneOutput
from apportion_common.lanes.records import set_packed_batch_seq
from apportion_common.lanes.traces import BatchTraces

from apportion_ledger.consumers.rated_batches import Rated
from apportion_ledger.domain.charges import Charge
from apportion_ledger.domain.posting import BatchOutcome
from apportion_ledger.limits import CONFLICT_DETAIL_CHARS_MAX

CONFLICT_BYTES_MAX: Final = 4 * CONFLICT_DETAIL_CHARS_MAX + 80
"""Most bytes of one conflict in a receipt: its detail in UTF-8, three ids and what frames them."""
CONFLICTS_PER_PART_MAX: Final = OUTPUT_PART_BYTES_MAX // 2 // CONFLICT_BYTES_MAX
"""Conflicts that a part holds besides traces and closes, which no batch has more than half a part of."""


def receipt_to_outputs(rated: Rated, outcome: BatchOutcome, revision: int, traces: BatchTraces) -> list[LaneOutput]:
    """Return the receipt of a batch posted under a ledger revision, in parts where it has many conflicts."""
    conflicts = [_conflict_to_message(*conflict) for conflict in outcome.conflicts]
    origin = rated.batch.origin
    whole = PostedBatch(
        lane=origin.lane or 0,
        batch_seq=rated.batch_seq,
        ledger_revision=revision,
        line_count=len(outcome.hashes),
        lines_digest=sha256(b"".join(outcome.hashes)).digest(),
        period_closes=rated.period_closes,
        traces=[
            TraceRange(traceparent=traces.onward(r.traceparent), first=r.first, count=r.count) for r in rated.traces
        ],
    )
    runs: list[Sequence[ChargeConflict]] = [
        conflicts[start : start + CONFLICTS_PER_PART_MAX] for start in range(0, len(conflicts), CONFLICTS_PER_PART_MAX)
    ] or [()]
    outputs = []
    for number, run in enumerate(runs):
        if len(runs) > 1:
            whole.part, whole.part_count = number, len(runs)
            set_packed_batch_seq(whole, rated.batch_seq)
        whole.conflicts.extend(run)
        outputs.append(LaneOutput(rated.batch_seq, whole.SerializeToString(), number, len(runs)))
        for field in ("conflicts", "period_closes", "traces"):
            whole.ClearField(field)
    return outputs


def _conflict_to_message(charge: Charge, detail: str) -> ChargeConflict:
    return ChargeConflict(
        charge_id=charge.charge_id,
        event_id=charge.event_id,
        org_id=charge.group.org_id,
        entry_seq=charge.entry_seq or 0,
        detail=detail[:CONFLICT_DETAIL_CHARS_MAX],
    )
