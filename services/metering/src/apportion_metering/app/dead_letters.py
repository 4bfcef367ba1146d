"""Dead letters for operators: list them, send them again, give them up."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID

from apportion.metering.v1.lane_pb2 import IntakeMessage
from apportion_common.clock import Clock
from apportion_common.db.actor import current_traceparent
from apportion_common.db.unit_of_work import Database, Transaction

from apportion_metering import errors
from apportion_metering.app.ports import DeadLetters, Letter, LetterFilter, RequeuedLetter
from apportion_metering.app.subjects import intake_subject
from apportion_metering.limits import (
    AUDITED_IDS_MAX,
    DEAD_LETTER_PAGE_DEFAULT,
    DEAD_LETTER_PAGE_MAX,
    MESSAGE_ENTRIES_MAX,
    REQUEUE_MAX,
)


class DeadLetterDesk:
    """The use cases behind ListDeadLetters, RequeueDeadLetters and DiscardDeadLetters."""

    def __init__(self, database: Database, dead_letters: DeadLetters, clock: Clock) -> None:
        self._database = database
        self._dead_letters = dead_letters
        self._clock = clock

    async def page(self, letters: LetterFilter, page_size: int, page_token: str) -> tuple[list[Letter], str]:
        """A page of dead letters, oldest first, and the next page's token. InvalidArgument PAGE_TOKEN_MALFORMED."""
        size = min(page_size or DEAD_LETTER_PAGE_DEFAULT, DEAD_LETTER_PAGE_MAX)
        after = _read_token(page_token) if page_token else None
        async with self._database.read() as connection:
            found = await self._dead_letters.page(connection, letters, after, size + 1)
        if len(found) <= size:
            return found, ""
        last = found[size - 1]
        return found[:size], _token(last.created_at, last.dead_letter_id)

    async def requeue(self, tx: Transaction, letters: LetterFilter, producer: str) -> int:
        """Send open letters that match back into their lanes, at most REQUEUE_MAX; gives how many.

        The control messages leave through the outbox of the same transaction. A letter whose id's first content
        stands (PAYLOAD_MISMATCH), or that cannot be read (UNDECODABLE), stays where it is.
        """
        requeued = await self._dead_letters.requeue(tx, letters, REQUEUE_MAX)
        for lane, group in groupby(requeued, key=lambda letter: letter.lane):
            members = list(group)
            for first in range(0, len(members), MESSAGE_ENTRIES_MAX):
                message = self._message(members[first : first + MESSAGE_ENTRIES_MAX], producer)
                await tx.enqueue(intake_subject(lane), message.SerializeToString())
        if requeued:
            ids = [UUID(bytes=letter.dead_letter_id) for letter in requeued]
            await tx.audit("dead_letter.requeue", "dead_letter", org_id=letters.org_id, after=_audited(letters, ids))
        return len(requeued)

    async def discard(self, tx: Transaction, letters: LetterFilter, reason: str) -> int:
        """Close open letters that match, for good, at most REQUEUE_MAX; gives how many."""
        ids = await self._dead_letters.discard(tx, letters, reason, REQUEUE_MAX)
        if ids:
            after = {**_audited(letters, ids), "reason": reason}
            await tx.audit("dead_letter.discard", "dead_letter", org_id=letters.org_id, after=after)
        return len(ids)

    def _message(self, letters: Sequence[RequeuedLetter], producer: str) -> IntakeMessage:
        message = IntakeMessage(
            received_at_us=self._clock.now_us(), producer=producer, traceparent=current_traceparent()
        )
        for letter in letters:
            requeue = message.entries.add().requeue
            requeue.dead_letter_id = letter.dead_letter_id
            requeue.attempt = letter.attempt
        return message


def _audited(letters: LetterFilter, ids: Sequence[UUID]) -> dict[str, object]:
    """What an audit row says of a filter and what it hit."""
    return {
        "filter": {
            "org_id": str(letters.org_id or ""),
            "reason": letters.reason,
            "dead_letter_ids": [str(letter_id) for letter_id in letters.dead_letter_ids],
        },
        "count": len(ids),
        "dead_letter_ids": [str(letter_id) for letter_id in ids] if len(ids) <= AUDITED_IDS_MAX else [],
    }


def _token(created_at: datetime, letter_id: UUID) -> str:
    return urlsafe_b64encode(f"{created_at.isoformat()}|{letter_id}".encode()).decode()


def _read_token(token: str) -> tuple[datetime, UUID]:
    try:
        at, letter_id = urlsafe_b64decode(token.encode()).decode().split("|")
        created_at = datetime.fromisoformat(at)
        if created_at.tzinfo is None:
            raise errors.page_token_malformed()
        return created_at, UUID(letter_id)
    except ValueError:
        raise errors.page_token_malformed() from None
