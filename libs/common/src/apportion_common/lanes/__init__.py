"""The money lanes: ordered, fenced batches from a JetStream subject into PostgreSQL and out again.

A lane's position is a row in PostgreSQL, not a consumer's acknowledgement. Its owner reads the stream
from that row, commits a whole batch and advances the row in the same transaction, and only if the row
still has the epoch and the position that the owner itself remembers. JetStream holds no consumer state.
"""

from apportion_common.lanes.model import (
    LaneMessage,
    LaneOutcome,
    LaneOutput,
    LanePosition,
    LaneProcessor,
    LaneWork,
    StreamInput,
    StreamOutput,
    WholeBatches,
)
from apportion_common.lanes.runner import LaneRunner
from apportion_common.lanes.traces import BatchTraces

__all__ = [
    "BatchTraces",
    "LaneMessage",
    "LaneOutcome",
    "LaneOutput",
    "LanePosition",
    "LaneProcessor",
    "LaneRunner",
    "LaneWork",
    "StreamInput",
    "StreamOutput",
    "WholeBatches",
]
