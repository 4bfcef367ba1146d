"""The events of a lane's messages as the writer takes them: plain tuples, since every event passes here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

ORG_ID_BYTES: Final = 16


class EventGroup(NamedTuple):
    """What events have in common, made once for all that have it; `project_id` has 16 bytes or none."""

    org_id: bytes
    project_id: bytes
    sku: str
    source: int
    """As in EventSource."""


class TakenEvent(NamedTuple):
    """An event as it was taken in."""

    name: bytes
    """The organisation's id and the request id in UTF-8, joined."""
    group: EventGroup
    quantity: int
    """Scaled by 9 places."""
    event_time_us: int
    content_hash: bytes
    metadata: Mapping[str, str] | None
