"""Answers after a commit: one inbox of this process for all its calls, and the sending of answers by lanes' owners."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count

import nats.errors
from apportion.metering.v1.lane_pb2 import CommitReport
from apportion_common.logs import get_logger
from nats.aio.client import Client
from nats.aio.msg import Msg

log = get_logger(__name__)


class PendingReplies:
    """Answers awaited by one call."""

    def __init__(self, owner: NatsReplies, prefix: str, expected: int) -> None:
        self._owner = owner
        self._prefix = prefix
        self._missing = expected
        self._answers: list[bytes | None] = [None] * expected
        self._done = asyncio.Event()

    def subject(self, index: int) -> str:
        """Return the subject that the answer to a message is to be sent to."""
        return f"{self._prefix}.{index}"

    async def wait(self, timeout_s: float) -> list[Sequence[int]]:
        """Return the outcomes of the entries of each message, in the messages' order. Raises TimeoutError."""
        await asyncio.wait_for(self._done.wait(), timeout_s)
        return [CommitReport.FromString(answer).outcomes for answer in self._answers if answer is not None]

    def close(self) -> None:
        """Expect no more."""
        self._owner.forget(self._prefix)

    def take(self, index: int, payload: bytes) -> None:
        """Keep an answer that has come; a second one to the same message changes nothing."""
        if index < len(self._answers) and self._answers[index] is None:
            self._answers[index] = payload
            self._missing -= 1
            if self._missing == 0:
                self._done.set()


class NatsReplies:
    """Receives answers for this process's calls, and sends those of its lanes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._numbers = count(1)
        self._waiting: dict[str, PendingReplies] = {}

    async def start(self) -> None:
        """Start listening."""
        await self._client.subscribe(f"{self._inbox}.*.*", cb=self._on_message)

    def expect(self, count: int) -> PendingReplies:
        """Prepare for the answers to `count` messages."""
        prefix = f"{self._inbox}.{next(self._numbers)}"
        pending = self._waiting[prefix] = PendingReplies(self, prefix, count)
        return pending

    def forget(self, prefix: str) -> None:
        """Drop a call's answers; those that come late find nobody."""
        self._waiting.pop(prefix, None)

    async def send(self, subject: str, payload: bytes) -> None:
        """Answer another process's call, or this one's own. That the caller has gone is no error."""
        try:
            await self._client.publish(subject, payload)
        except (nats.errors.Error, OSError, ValueError) as error:
            log.warning("metering.reply.lost", error=type(error).__name__)

    async def _on_message(self, message: Msg) -> None:
        prefix, _, index = message.subject.rpartition(".")
        pending = self._waiting.get(prefix)
        if pending is not None and index.isdigit():
            pending.take(int(index), message.data)
