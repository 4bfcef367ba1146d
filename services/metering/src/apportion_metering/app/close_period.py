"""Closing a period: a control entry in every lane that it concerns; from there on the period's events are refused."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from apportion.metering.v1.lane_pb2 import IntakeMessage
from apportion_common.clock import Clock
from apportion_common.db.actor import current_traceparent
from apportion_common.db.unit_of_work import Transaction
from apportion_common.ids import LANES, lane_of

from apportion_metering.app.subjects import intake_subject


class ClosePeriod:
    """The use case behind ClosePeriod."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def run(self, tx: Transaction, period: str, org_ids: Sequence[UUID], producer: str) -> None:
        """Put the close of `period` ("2013-01") into the lanes of those organisations; none named: of all of them.

        The entries leave through the outbox of the same transaction. Closing twice changes nothing: the later entry
        finds the period closed.
        """
        by_lane: dict[int, list[bytes]] = {}
        if org_ids:
            for org_id in sorted({org_id.bytes for org_id in org_ids}):
                by_lane.setdefault(lane_of(org_id), []).append(org_id)
        else:
            by_lane = {lane: [b""] for lane in range(LANES)}
        for lane, orgs in sorted(by_lane.items()):
            message = IntakeMessage(
                received_at_us=self._clock.now_us(), producer=producer, traceparent=current_traceparent()
            )
            for org in orgs:
                close = message.entries.add().period_close
                close.period = period
                close.org_id = org
            await tx.enqueue(intake_subject(lane), message.SerializeToString())
        after = {"period": period, "org_ids": [str(org_id) for org_id in org_ids]}
        await tx.audit("period.close", f"period/{period}", after=after)
