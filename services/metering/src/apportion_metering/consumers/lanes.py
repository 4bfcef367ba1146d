"""Which lanes metering works, and by which rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from apportion_common.bus.streams import LEDGER_OUT, METERING_IN, METERING_OUT, PRICING_OUT
from apportion_common.db.unit_of_work import Database
from apportion_common.lanes.model import StreamInput, StreamOutput
from apportion_common.lanes.runner import LaneRunner, register_fail_points
from nats.aio.client import Client

from apportion_metering.app import subjects
from apportion_metering.app.receipts import POSTED_ROLE, RATED_ROLE, PostedReceipts, RatedReceipts
from apportion_metering.app.writer import ROLE as WRITER_ROLE
from apportion_metering.app.writer import Writer

register_fail_points(WRITER_ROLE)
for _role in (RATED_ROLE, POSTED_ROLE):
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
    """The runners of metering's three roles, by role; `paused(role)` is what a runner asks before it takes anything."""

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

    accepted = StreamOutput(METERING_OUT.name, subjects.ACCEPTED)
    return (
        (WRITER_ROLE, runner(WRITER_ROLE, StreamInput(METERING_IN.name, subjects.INTAKE), accepted, writer)),
        (RATED_ROLE, runner(RATED_ROLE, StreamInput(PRICING_OUT.name, subjects.RATED), None, rated)),
        (POSTED_ROLE, runner(POSTED_ROLE, StreamInput(LEDGER_OUT.name, subjects.POSTED), None, posted)),
    )
