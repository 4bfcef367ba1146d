"""States in which work stands still, each said once: in the log when it begins and ends, in readiness and in a metric
while it lasts. The runbook has a section for each, headed with its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import grpc
import nats.errors
import nats.js.errors
import psycopg
import sqlalchemy.exc

from apportion_common.clock import Clock, SystemClock
from apportion_common.errors import ApportionError
from apportion_common.logs import get_logger
from apportion_common.metrics import gauge

DATABASE_AWAY: Final = "DATABASE_AWAY"
"""PostgreSQL does not answer."""
DATABASE_READ_ONLY: Final = "DATABASE_READ_ONLY"
"""PostgreSQL answers and takes no writes."""
STREAM_AWAY: Final = "STREAM_AWAY"
"""NATS does not answer."""
STREAM_MISSING: Final = "STREAM_MISSING"
"""NATS answers, and a stream is not there."""
STREAM_REFUSES: Final = "STREAM_REFUSES"
"""NATS answers, and a stream takes nothing: it or the disk is full, or was."""
SERVICE_AWAY: Final = "SERVICE_AWAY"
"""Another service that is needed does not answer."""
LANE_STUCK: Final = "LANE_STUCK"
"""A lane's work made no progress for several leases and was given up, so that it is begun again."""
LANE_ROW_HELD: Final = "LANE_ROW_HELD"
"""A session of the database holds a lane's row without end, so that nobody can take the lane."""
PAUSED_BY_FLAG: Final = "PAUSED_BY_FLAG"
"""A feature flag that the role stands behind is closed."""
LANE_FAILED: Final = "LANE_FAILED"
"""A lane fails again and again for a reason of its own."""

CERTAIN: Final = frozenset({STREAM_AWAY, STREAM_MISSING, STREAM_REFUSES, LANE_STUCK})
"""States that are said at their first sign; others may be over at the next try."""

RUNBOOK: Final = "docs/runbook.md"
DETAIL_CHARS_MAX: Final = 300
STREAM_NOT_FOUND: Final = 10059
"""JetStream's code for a stream that is not there; a message or consumer that is not there has another."""

SINCE: Final = gauge(
    "apportion_standstill_since_timestamp_seconds",
    "When a state began in which work stands still, by the part of the process and the state; 0 when it is not so.",
    ["part", "state"],
)

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Standstill:
    """What stands still, how it is called, what is known of it and since when."""

    part: str
    state: str
    detail: str
    since: datetime

    def line(self) -> str:
        """Return the sentence that readiness and `apportion status` show."""
        since = self.since.strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{self.part}: {self.state} since {since}: {self.detail} ({see(self.state)})"


class Standstills:
    """The standstills of one process."""

    def __init__(self, clock: Clock | None = None) -> None:
        """Begin with none."""
        self._clock = SystemClock() if clock is None else clock
        self._of_part: dict[str, dict[str, Standstill]] = {}

    def set(self, part: str, states: Mapping[str, str]) -> None:
        """Say in which states (with what is known of each) a part of the process is now; all others of it are over."""
        known = self._of_part.setdefault(part, {})
        for state in known.keys() - states.keys():
            over = known.pop(state)
            SINCE.labels(part, state).set(0)
            lasted_s = round((self._clock.now() - over.since).total_seconds(), 1)
            log.info("standstill.over", part=part, state=state, lasted_s=lasted_s)
        for state, detail in states.items():
            detail = " ".join(detail.split())[:DETAIL_CHARS_MAX]
            before = known.get(state)
            since = self._clock.now() if before is None else before.since
            known[state] = Standstill(part, state, detail, since)
            if before is None:
                SINCE.labels(part, state).set(since.timestamp())
                log.warning("standstill", part=part, state=state, detail=detail, see=see(state))

    def lines(self) -> list[str]:
        """Return a sentence for each, in the order of their parts."""
        return [found.line() for _, states in sorted(self._of_part.items()) for _, found in sorted(states.items())]


STANDSTILLS: Final = Standstills()
"""Those of this process."""


def see(state: str) -> str:
    """Return where the runbook speaks of a state."""
    return f"{RUNBOOK}#{state.lower()}"


def state_of(error: BaseException, *, stream: str = "") -> tuple[str, str]:
    """Return the state that an infrastructure error is a sign of, and what is known of it.

    `stream` is the one that was worked with, for errors that do not name it.
    """
    if isinstance(error, sqlalchemy.exc.DBAPIError) and error.orig is not None:
        error = error.orig
    said = f"{type(error).__name__}: {error}".strip(": ")
    if isinstance(error, nats.js.errors.NoStreamResponseError) or (
        isinstance(error, nats.js.errors.APIError) and error.err_code == STREAM_NOT_FOUND
    ):
        return STREAM_MISSING, f"stream {stream or 'of its messages'} is not there"
    if isinstance(error, nats.js.errors.APIError):
        return STREAM_REFUSES, f"stream {stream or 'of its messages'} refuses: {error.description or said}"
    if isinstance(error, nats.errors.Error):
        return STREAM_AWAY, f"NATS does not answer: {said}"
    if isinstance(error, grpc.RpcError | ApportionError):
        return SERVICE_AWAY, f"another service does not answer: {said}"
    if isinstance(error, sqlalchemy.exc.SQLAlchemyError | psycopg.Error | TimeoutError | OSError):
        return DATABASE_AWAY, f"PostgreSQL does not answer: {said}"
    return LANE_FAILED, said
