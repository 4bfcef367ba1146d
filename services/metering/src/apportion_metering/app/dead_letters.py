"""Dead letters for operators: list them, send them again, discard them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TypeVar
from uuid import UUID

from apportion_common.clock import Clock
from apportion_common.db.actor import current_traceparent
from apportion_common.db.idempotency import Mutation, run_mutation
from apportion_common.db.unit_of_work import Database, Transaction
from apportion_common.pages import read_token, split_page, time_cursor
from apportion_common.selections import require_selection
from apportion_common.topology import INTAKE_SUBJECT, lane_subject
from google.protobuf.message import Message

from apportion_metering.adapters.intake_messages import requeue_message
from apportion_metering.domain.dead_letters import DeadLetter, DeadLetterFilter, IntoPeriods, present_and_next
from apportion_metering.domain.messages import Envelope
from apportion_metering.limits import (
    AUDITED_IDS_MAX,
    DEAD_LETTER_PAGE_DEFAULT,
    DEAD_LETTER_PAGE_MAX,
    MESSAGE_ENTRIES_MAX,
    REQUEUE_DEAD_LETTERS_MAX,
)
from apportion_metering.store.dead_letters import DeadLetterStore, RequeuedDeadLetter
from apportion_metering.store.period_changes import PeriodChangeStore

Answer = TypeVar("Answer", bound=Message)


class DeadLetters:
    """The use cases behind ListDeadLetters, RequeueDeadLetters and DiscardDeadLetters."""

    def __init__(self, database: Database, store: DeadLetterStore, periods: PeriodChangeStore, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._periods = periods
        self._clock = clock

    async def page(self, wanted: DeadLetterFilter, page_size: int, page_token: str) -> tuple[Sequence[DeadLetter], str]:
        """Return a page of dead letters, oldest first, and the next page's token.

        InvalidArgument PAGE_TOKEN_MALFORMED.
        """
        size = min(page_size or DEAD_LETTER_PAGE_DEFAULT, DEAD_LETTER_PAGE_MAX)
        after = read_token(page_token, time_cursor)
        async with self._database.read() as connection:
            found = await self._store.page(connection, wanted, after, size + 1)
        return split_page(found, size, lambda last: (last.created_at, last.dead_letter_id))

    async def requeue(
        self,
        mutation: Mutation[int, Answer],
        wanted: DeadLetterFilter,
        producer: str,
        *,
        into_period: str = "",
        everything: bool = False,
    ) -> Answer:
        """Send open dead letters that match back into their lanes, at most REQUEUE_DEAD_LETTERS_MAX; say how many.

        The control messages leave through the outbox of the same transaction. One whose id's first content stands
        (PAYLOAD_MISMATCH), or that cannot be read (UNDECODABLE), stays open. `IntoPeriods` says which period bills an
        event whose own is closed. Raises InvalidArgument SELECTION_EMPTY, SELECTION_AMBIGUOUS, INTO_PERIOD_TOO_EARLY or
        INTO_PERIOD_TOO_LATE.
        """
        require_selection("dead letters", named=wanted.names_some, everything=everything)

        async def work(tx: Transaction) -> int:
            now_us = await self._periods.now_us(tx)
            closes = await self._periods.closes(tx, present_and_next(now_us))
            into = IntoPeriods(into_period, now_us, closes)
            requeued = await self._store.requeue(tx, wanted, REQUEUE_DEAD_LETTERS_MAX)
            envelope = Envelope(self._clock.now_us(), producer, current_traceparent())
            for lane, group in groupby(requeued, key=lambda item: item.lane):
                requeues = [(item.dead_letter_id, item.attempt, _into(into, item)) for item in group]
                for first in range(0, len(requeues), MESSAGE_ENTRIES_MAX):
                    message = requeue_message(envelope, requeues[first : first + MESSAGE_ENTRIES_MAX])
                    await tx.enqueue(lane_subject(INTAKE_SUBJECT, lane), message)
            if requeued:
                ids = [UUID(bytes=item.dead_letter_id) for item in requeued]
                after = {**_audited(wanted, ids), "into_period": into_period}
                await tx.audit("dead_letter.requeue", "dead_letter", org_id=wanted.org_id, after=after)
            return len(requeued)

        return await run_mutation(self._database, mutation, work)

    async def discard(
        self, mutation: Mutation[int, Answer], wanted: DeadLetterFilter, reason: str, *, everything: bool = False
    ) -> Answer:
        """Close open dead letters that match, for good, at most REQUEUE_DEAD_LETTERS_MAX; say how many.

        Raises InvalidArgument SELECTION_EMPTY or SELECTION_AMBIGUOUS.
        """
        require_selection("dead letters", named=wanted.names_some, everything=everything)

        async def work(tx: Transaction) -> int:
            ids = await self._store.discard(tx, wanted, reason, REQUEUE_DEAD_LETTERS_MAX)
            if ids:
                after = {**_audited(wanted, ids), "reason": reason}
                await tx.audit("dead_letter.discard", "dead_letter", org_id=wanted.org_id, after=after)
            return len(ids)

        return await run_mutation(self._database, mutation, work)


def _into(into: IntoPeriods, item: RequeuedDeadLetter) -> str:
    if item.org_id is None:
        return ""
    return into.of(item.reason, item.org_id, item.event_time_us)


def _audited(wanted: DeadLetterFilter, ids: Sequence[UUID]) -> dict[str, object]:
    """Return what an audit row says of a filter and what it matched."""
    return {
        "filter": {
            "org_id": str(wanted.org_id or ""),
            "reason": wanted.reason,
            "dead_letter_ids": [str(dead_letter_id) for dead_letter_id in wanted.dead_letter_ids],
        },
        "count": len(ids),
        "dead_letter_ids": [str(dead_letter_id) for dead_letter_id in ids] if len(ids) <= AUDITED_IDS_MAX else [],
    }
