"""What becomes of each entry of a batch: the first content of an id counts, once (spec 04, spec 08 choice 8).

The rules take the entries one by one, in their order, and know what was claimed before: by earlier batches (probed in
the database) and by earlier entries of this one. They are called once an event, so they take and return plain values.
"""

from __future__ import annotations

from typing import Final

from apportion_metering.limits import EVENT_LEAD_US_MAX

CONTENT_HASH_BYTES: Final = 32

ACCEPTED: Final = 1
"""The event is new: it is stored, and published under its entry number."""
DUPLICATE: Final = 2
"""The same content came before, or the same requeue: nothing is done."""
MISMATCH: Final = 3
"""Other content came before under this id; it stands, and this one is a dead letter."""
DEAD_LETTERED: Final = 4
"""What a sender is told of the outcome below. Up to here the numbers are those of EntryOutcome."""
IN_FUTURE: Final = 5
"""The event lies too far ahead of its receipt: its id is claimed, it is not stored, and it is a dead letter."""


def latest_event_time_us(received_at_us: int) -> int:
    """Return the latest time of an event that was received at an instant; no worker's clock decides about it."""
    return received_at_us + EVENT_LEAD_US_MAX


def decide_event(
    claimed: dict[bytes, bytes],
    name: bytes,
    content_hash: bytes,
    event_time_us: int,
    latest_us: int,
) -> int:
    """Return an event's outcome, and enter its id in `claimed` (name → content hash) when the event claims it.

    `name` is the organisation's id and the request id, joined; `latest_us` is its message's `latest_event_time_us`.
    """
    first = claimed.get(name)
    if first is None:
        claimed[name] = content_hash
        return ACCEPTED if event_time_us <= latest_us else IN_FUTURE
    return DUPLICATE if first == content_hash else MISMATCH


def decide_requeue(waiting_attempt: int, attempt: int, event_time_us: int, latest_us: int) -> int:
    """Return the outcome of a requeue of a dead letter that waits for the attempt `waiting_attempt`.

    An attempt that was taken before, or given up since, is a DUPLICATE. An event that still lies in the future opens
    its dead letter again.
    """
    if waiting_attempt != attempt:
        return DUPLICATE
    return ACCEPTED if event_time_us <= latest_us else IN_FUTURE
