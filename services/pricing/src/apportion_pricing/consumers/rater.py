"""The rater's lanes: metering's accepted batches in, rated batches out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from apportion_common.db.unit_of_work import Database
from apportion_common.lanes import LaneRunner, StreamInput, StreamOutput
from apportion_common.lanes.runner import register_fail_points
from nats.aio.client import Client

from apportion_pricing.app.batches import Accepted
from apportion_pricing.app.rate import ROLE, Rater

SOURCE: Final = StreamInput("METERING_OUT", "metering.accepted")
OUTPUT: Final = StreamOutput("PRICING_OUT", "pricing.rated")

register_fail_points(ROLE)


def rater_lanes(
    database: Database,
    client: Client,
    rater: Rater,
    *,
    worker_id: str,
    lease_s: float,
    paused: Callable[[], bool],
) -> LaneRunner[Accepted]:
    """The runner of the rater's lanes in this process; it works none while `paused()` is true."""
    return LaneRunner(
        database,
        client,
        role=ROLE,
        source=SOURCE,
        output=OUTPUT,
        processor=rater,
        worker_id=worker_id,
        lease_s=lease_s,
        paused=paused,
    )
