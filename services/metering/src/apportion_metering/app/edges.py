"""What the use cases need of the outside: the intake stream, and answers of whoever commits its messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from apportion_metering.domain.intake import CheckedEvent
from apportion_metering.domain.messages import Envelope, PlannedMessage
from apportion_metering.domain.stream import StreamState


class IntakeStream(Protocol):
    """The stream that takes intake messages."""

    async def publish(
        self,
        envelope: Envelope,
        events: Sequence[CheckedEvent],
        messages: Sequence[PlannedMessage],
        reply_to: Sequence[str] = (),
    ) -> None:
        """Publish the events in their messages, all at once; return when all are acknowledged. Raises Unavailable."""
        ...

    async def require_durable(self) -> None:
        """Return when the server is known to flush before it acknowledges.

        Raises FailedPrecondition STREAM_NOT_DURABLE when it does not, Unavailable STREAM_UNAVAILABLE while nobody can
        tell.
        """
        ...

    async def state(self) -> StreamState:
        """Return whether the stream answers and flushes before it acknowledges, and since when."""
        ...

    async def last_seqs(self) -> dict[int, int]:
        """Return the stream sequence of each lane's last message; lanes without one are left out.

        Raises Unavailable STREAM_UNAVAILABLE.
        """
        ...


class CommitReplies(Protocol):
    """Answers that lanes send to this process after their commit."""

    def expect(self, count: int) -> PendingReplies:
        """Prepare for the answers to `count` messages."""
        ...


class PendingReplies(Protocol):
    """Answers awaited by one call."""

    def subject(self, index: int) -> str:
        """Return the subject that the answer to a message is to be sent to."""
        ...

    async def wait(self, timeout_s: float) -> list[Sequence[int]]:
        """Return the outcomes of the entries of each message, in the messages' order. Raises TimeoutError."""
        ...

    def close(self) -> None:
        """Expect no more."""
        ...
