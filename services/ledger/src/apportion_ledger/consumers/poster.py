"""The lane runner of the poster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from apportion.pricing.v1 import lane_pb2 as pricing_lane_pb2
from apportion_common.db.unit_of_work import Database
from apportion_common.lanes.model import StreamInput, StreamOutput
from apportion_common.lanes.runner import LaneRunner, register_fail_points
from nats.aio.client import Client

from apportion_ledger.app.post import LinePoster

ROLE: Final = "ledger_poster"
SOURCE: Final = StreamInput("PRICING_OUT", "pricing.rated")
OUTPUT: Final = StreamOutput("LEDGER_OUT", "ledger.posted")

register_fail_points(ROLE)


def poster_runner(
    database: Database,
    client: Client,
    poster: LinePoster,
    *,
    worker_id: str,
    lease_s: int,
    paused: Callable[[], bool],
) -> LaneRunner[pricing_lane_pb2.RatedBatch]:
    """The runner that brings pricing's rated batches to the poster and its receipts to the stream.

    It works no lane while `paused()` is true.
    """
    return LaneRunner(
        database,
        client,
        role=ROLE,
        source=SOURCE,
        output=OUTPUT,
        processor=poster,
        worker_id=worker_id,
        lease_s=lease_s,
        paused=paused,
    )
