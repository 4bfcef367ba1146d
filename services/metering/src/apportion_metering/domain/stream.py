"""What is known of the intake stream: whether it answers, and whether it flushes before it acknowledges."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from apportion_common.instants import datetime_of_us


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
    def outage_since(self) -> datetime | None:
        """Return since when it cannot be reached or read; None when it can, whatever it is set up to do."""
        is_outage = self.condition in (StreamCondition.UNKNOWN, StreamCondition.UNREACHABLE)
        return datetime_of_us(self.since_us) if is_outage else None
