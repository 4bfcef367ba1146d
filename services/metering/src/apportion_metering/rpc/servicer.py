"""MeteringService: proto in, use case, proto out. What is not built is inherited and answers UNIMPLEMENTED."""

from __future__ import annotations

from apportion_common.db.audit_query import AuditTrail

from apportion_metering.app.dead_letters import DeadLetters
from apportion_metering.app.lanes import Lanes
from apportion_metering.app.periods import Periods
from apportion_metering.app.usage_events import UsageEvents
from apportion_metering.rpc.audit import AuditRpcs
from apportion_metering.rpc.dead_letters import DeadLetterRpcs
from apportion_metering.rpc.lanes import LaneRpcs
from apportion_metering.rpc.periods import PeriodRpcs
from apportion_metering.rpc.usage_events import UsageEventRpcs


class MeteringServicer(UsageEventRpcs, DeadLetterRpcs, PeriodRpcs, LaneRpcs, AuditRpcs):
    """The RPCs of metering that are built."""

    def __init__(
        self,
        *,
        usage_events: UsageEvents,
        dead_letters: DeadLetters,
        periods: Periods,
        lanes: Lanes,
        audit: AuditTrail,
        commit_wait_s: float,
    ) -> None:
        """Answer by these use cases; COMMITTED waits for `commit_wait_s` where the caller set no deadline."""
        self.usage_events = usage_events
        self.dead_letters = dead_letters
        self.periods = periods
        self.lanes = lanes
        self.audit = audit
        self.commit_wait_s = commit_wait_s
