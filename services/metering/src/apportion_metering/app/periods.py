"""Closing a period: a control entry in every lane that it concerns; from there on the period's events are rejected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from apportion_common.clock import Clock
from apportion_common.db.actor import current_traceparent
from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.ids import lane_of
from apportion_common.topology import INTAKE_SUBJECT, LANES, lane_subject
from google.protobuf.message import Message

from apportion_metering.adapters.intake_messages import period_close_message
from apportion_metering.domain.messages import Envelope

Answer = TypeVar("Answer", bound=Message)


class Periods:
    """The use case behind ClosePeriod."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def close(
        self, mutation: Mutation[None, Answer], period: str, org_ids: Sequence[UUID], producer: str
    ) -> Answer:
        """Put the close of `period` ("2013-01") into the lanes of those organisations; none named: of all of them.

        The entries leave through the outbox of the same transaction. Closing twice changes nothing: the later entry
        finds the period closed.
        """
        by_lane = _orgs_by_lane(org_ids)

        async def work(tx: Transaction) -> None:
            envelope = Envelope(self._clock.now_us(), producer, current_traceparent())
            for lane, orgs in sorted(by_lane.items()):
                await tx.enqueue(lane_subject(INTAKE_SUBJECT, lane), period_close_message(envelope, period, orgs))
            after = {"period": period, "org_ids": [str(org_id) for org_id in org_ids]}
            await tx.audit("period.close", f"period/{period}", after=after)

        return await run_mutation(self._database, mutation, work)


def _orgs_by_lane(org_ids: Sequence[UUID]) -> dict[int, list[bytes]]:
    """Return the organisations that each lane closes; an empty id means all that it carries."""
    if not org_ids:
        return {lane: [b""] for lane in range(LANES)}
    by_lane: dict[int, list[bytes]] = {}
    for org_id in sorted({org_id.bytes for org_id in org_ids}):
        by_lane.setdefault(lane_of(org_id), []).append(org_id)
    return by_lane
