"""Ways in which a lane is lost or stopped.

LaneError
├── Fenced          another owner has the lane, or this one's memory is no longer the row's
├── StreamMissing   a stream of the lane is not there: it waits until somebody makes it
└── LaneStopped     the lane may not go on without a person: STREAM_REWOUND, BATCH_SEQ_GAP, BATCH_PART_GAP,
                    OUTPUT_REWOUND, OUTPUT_TOO_LARGE
"""

from __future__ import annotations


class LaneError(Exception):
    """Something ended this ownership of a lane."""


class Fenced(LaneError):
    """The row has another epoch or position than this owner remembers: roll back, forget, acquire again."""


class StreamMissing(LaneError):
    """The lane reads from or publishes to a stream that is not there."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"STREAM_MISSING: there is no stream {stream}")
        self.stream = stream


class LaneStopped(LaneError):
    """The lane stops until an operator has looked at it."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
