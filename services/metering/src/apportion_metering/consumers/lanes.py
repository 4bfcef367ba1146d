"""Which lanes metering works, and by which processors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from apportion_common.db.unit_of_work import Database
from apportion_common.lanes.model import StreamInput, StreamOutput
from apportion_common.lanes.runner import LaneRunner, register_fail_points
from apportion_common.topology import (
    ACCEPTED_SUBJECT,
    INTAKE_SUBJECT,
    LEDGER_OUT,
    METERING_IN,
    METERING_OUT,
    POSTED_RECEIPTS_ROLE,
    POSTED_SUBJECT,
    PRICING_OUT,
    RATED_RECEIPTS_ROLE,
    RATED_SUBJECT,
    WRITER_ROLE,
)
from nats.aio.client import Client

from apportion_metering.consumers.receipts import PostedReceipts, RatedReceipts
from apportion_metering.consumers.writer import Writer

register_fail_points(WRITER_ROLE)
for _role in (RATED_RECEIPTS_ROLE, POSTED_RECEIPTS_ROLE):
    register_fail_points(_role, publishes=False)


def lane_runners(
    database: Database,
    client: Client,
    *,
    writer: Writer,
    rated: RatedReceipts,
    posted: PostedReceipts,
    worker_id: str,
    lease_s: float,
    paused: Callable[[str], Callable[[], bool]],
) -> Sequence[tuple[str, LaneRunner[Any]]]:
    """Return the runners of metering's three roles; `paused(role)` is what one asks before it takes a batch."""

    def runner(role: str, source: StreamInput, output: StreamOutput | None, processor: Any) -> LaneRunner[Any]:
        return LaneRunner(
            database,
            client,
            role=role,
            source=source,
            output=output,
            processor=processor,
            worker_id=worker_id,
            lease_s=lease_s,
            paused=paused(role),
        )

    intake = StreamInput(METERING_IN.name, INTAKE_SUBJECT)
    accepted = StreamOutput(METERING_OUT.name, ACCEPTED_SUBJECT)
    rating = StreamInput(PRICING_OUT.name, RATED_SUBJECT)
    posting = StreamInput(LEDGER_OUT.name, POSTED_SUBJECT)
    return (
        (WRITER_ROLE, runner(WRITER_ROLE, intake, accepted, writer)),
        (RATED_RECEIPTS_ROLE, runner(RATED_RECEIPTS_ROLE, rating, None, rated)),
        (POSTED_RECEIPTS_ROLE, runner(POSTED_RECEIPTS_ROLE, posting, None, posted)),
    )
