"""What is known of the intake stream: whether it answers, and whether it flushes before it acknowledges."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class StreamCondition(Enum):
    """Whether the stream can be relied on; only DURABLE takes ENQUEUED."""

    DURABLE = "durable"
    """It answers, and its servers were read: they flush before they acknowledge."""
    NOT_DURABLE = "not_durable"
    """Its servers were read and flush later, or no address is set to read them at: that is how it is set up."""
    UNKNOWN = "unknown"
    """Its servers' settings cannot be read now; it is never taken for durable meanwhile."""
    UNREACHABLE = "unreachable"
    """It gives no answer; nothing can be taken."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """The stream's condition, since when this process has seen it so, and why in words; empty when durable."""

    condition: StreamCondition
    since_us: int
    why: str = ""

    @property
    def is_durable(self) -> bool:
        """Return whether an acknowledgement means that the message is on disk."""
        return self.condition is StreamCondition.DURABLE

    @property
    def is_outage(self) -> bool:
        """Return whether waiting may help: the condition is not how the stream is set up."""
        return self.condition in (StreamCondition.UNKNOWN, StreamCondition.UNREACHABLE)
