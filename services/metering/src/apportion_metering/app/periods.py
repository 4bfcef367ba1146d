"""Closing and reopening a period: control entries in the lanes, from which on its events are rejected or taken."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID

from apportion_common.clock import Clock
from apportion_common.db.actor import current_traceparent
from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.errors import OutOfRange
from apportion_common.ids import lane_of
from apportion_common.period_closes import PeriodChange
from apportion_common.periods import parse_period
from apportion_common.selections import require_selection
from apportion_common.topology import INTAKE_SUBJECT, LANES, lane_subject
from google.protobuf.message import Message

from apportion_metering import errors
from apportion_metering.adapters.intake_messages import period_message
from apportion_metering.app.edges import IntakeStream
from apportion_metering.domain.messages import Envelope
from apportion_metering.domain.progress import LaneTargets
from apportion_metering.limits import CLOSE_POLL_MS, EVENT_TIME_YEAR_MAX, EVENT_TIME_YEAR_MIN
from apportion_metering.store.journal import JournalStore
from apportion_metering.store.period_changes import PeriodChangeStore

Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True, slots=True)
class Closing:
    """Which period is to be closed, and for whom."""

    period: str
    org_ids: Sequence[UUID]
    all_orgs: bool = False
    force: bool = False
    reason: str = ""


class _UsageUnknown(Exception):
    """Whether usage is under way has to be seen first, outside any transaction; a repeated call is answered before."""


class Periods:
    """The use cases behind ClosePeriod and ReopenPeriod."""

    def __init__(
        self,
        database: Database,
        changes: PeriodChangeStore,
        journal: JournalStore,
        stream: IntakeStream,
        clock: Clock,
        *,
        wait_s: float,
    ) -> None:
        """A close waits for usage that is under way for `wait_s`, and is refused after."""
        self._database = database
        self._changes = changes
        self._journal = journal
        self._stream = stream
        self._clock = clock
        self._wait_s = wait_s

    async def close(self, mutation: Mutation[Sequence[UUID], Answer], closing: Closing, producer: str) -> Answer:
        """Put the close of a period ("2013-01") into the lanes; answer which organisations never had usage.

        The entries leave through the outbox of the same transaction. Closing twice changes nothing: the later entry
        finds the period closed. Raises InvalidArgument SELECTION_EMPTY, SELECTION_AMBIGUOUS or REASON_MISSING,
        OutOfRange TIME_OUT_OF_RANGE; unless it is forced, FailedPrecondition PERIOD_NOT_OVER or USAGE_UNDER_WAY,
        Unavailable STREAM_UNAVAILABLE.
        """
        require_selection("organisations", named=bool(closing.org_ids), everything=closing.all_orgs)
        period = parse_period(closing.period)
        if not EVENT_TIME_YEAR_MIN <= int(period.key[:4]) <= EVENT_TIME_YEAR_MAX:
            raise OutOfRange(
                "TIME_OUT_OF_RANGE", f"Usage lies in the years {EVENT_TIME_YEAR_MIN} to {EVENT_TIME_YEAR_MAX}, UTC."
            )
        if closing.force and not closing.reason.strip():
            raise errors.reason_missing()
        changes = _changes_by_lane(closing)

        async def work(checked: bool, tx: Transaction) -> Sequence[UUID]:
            if not checked:
                await self._check_over(tx, closing.period, period.end_us)
                raise _UsageUnknown
            after = {
                "period": closing.period,
                "org_ids": [str(org_id) for org_id in closing.org_ids],
                "all_orgs": closing.all_orgs,
                "forced": closing.force,
                "reason": closing.reason,
            }
            await self._put(tx, changes, producer)
            await tx.audit("period.close", f"period/{closing.period}", after=after)
            return await self._changes.without_usage(tx, closing.org_ids)

        try:
            return await run_mutation(self._database, mutation, partial(work, closing.force))
        except _UsageUnknown:
            await self._wait_for_usage(changes.keys())
            return await run_mutation(self._database, mutation, partial(work, True))

    async def reopen_period(
        self,
        mutation: Mutation[None, Answer],
        period: str,
        reopenings: Sequence[tuple[UUID, int]],
        reason: str,
        producer: str,
    ) -> Answer:
        """Put the reopening of a period into the lanes of those organisations, each with its number."""
        changes: dict[int, list[PeriodChange]] = {}
        for org_id, number in sorted(set(reopenings)):
            changes.setdefault(lane_of(org_id.bytes), []).append(PeriodChange(period, org_id.bytes, number))

        async def work(tx: Transaction) -> None:
            after = {
                "period": period,
                "reopenings": {str(org_id): number for org_id, number in reopenings},
                "reason": reason,
            }
            await self._put(tx, changes, producer)
            await tx.audit("period.reopen", f"period/{period}", after=after)

        return await run_mutation(self._database, mutation, work)

    async def _put(self, tx: Transaction, changes: dict[int, list[PeriodChange]], producer: str) -> None:
        """Note changes of periods, and send them into their lanes."""
        envelope = Envelope(self._clock.now_us(), producer, current_traceparent())
        noted: dict[PeriodChange, None] = {}
        for lane, of_lane in sorted(changes.items()):
            await tx.enqueue(lane_subject(INTAKE_SUBJECT, lane), period_message(envelope, of_lane))
            noted.update(dict.fromkeys(of_lane))
        await self._changes.note_changes(tx, list(noted))

    async def _check_over(self, tx: Transaction, period: str, end_us: int) -> None:
        if await self._changes.now_us(tx) < end_us:
            raise errors.period_not_over(period)

    async def _wait_for_usage(self, lanes: Collection[int]) -> None:
        """Return when these lanes have posted all that the stream holds now; what comes after the close's place is not
        waited for. Raises FailedPrecondition USAGE_UNDER_WAY, Unavailable STREAM_UNAVAILABLE.
        """
        last_seqs = await self._stream.last_seqs()
        targets = LaneTargets({lane: last_seqs.get(lane, 0) for lane in lanes})
        polls = max(int(self._wait_s * 1_000) // CLOSE_POLL_MS, 1)
        for _ in range(polls):
            async with self._database.read(snapshot=True) as connection:
                waiting = await self._journal.waiting_controls(connection)
                behind = targets.behind(await self._journal.lanes(connection))
            if not behind and not waiting:
                return
            await asyncio.sleep(CLOSE_POLL_MS / 1_000)
        raise errors.usage_under_way(behind or 1)


def _changes_by_lane(closing: Closing) -> dict[int, list[PeriodChange]]:
    """Return what each lane closes: single organisations, or all that it carries."""
    if closing.all_orgs:
        return {lane: [PeriodChange(closing.period, None)] for lane in range(LANES)}
    changes: dict[int, list[PeriodChange]] = {}
    for org_id in sorted({org_id.bytes for org_id in closing.org_ids}):
        changes.setdefault(lane_of(org_id), []).append(PeriodChange(closing.period, org_id))
    return changes
