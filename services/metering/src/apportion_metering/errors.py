"""The errors of whole calls, beside the rejections of single events (`domain/intake.py`)."""

from __future__ import annotations

from datetime import datetime

from apportion_common.errors import UNAVAILABLE_SINCE, FailedPrecondition, InvalidArgument, Unavailable
from apportion_common.topology import DEAD_LETTER_REASONS

from apportion_metering.limits import CALL_EVENTS_MAX, STREAM_RETRY_AFTER_S


def batch_empty() -> InvalidArgument:
    """Return the error of a call without events."""
    return InvalidArgument("BATCH_EMPTY", "A call brings at least one event.")


def batch_too_large(count: int) -> InvalidArgument:
    """Return the error of a call with more events than one may bring."""
    return InvalidArgument(
        "BATCH_TOO_LARGE", f"A call brings at most {CALL_EVENTS_MAX} events, not {count}.", max=str(CALL_EVENTS_MAX)
    )


def stream_not_durable(why: str) -> FailedPrecondition:
    """Return the error of ENQUEUED on a NATS server that cannot promise it."""
    return FailedPrecondition(
        "STREAM_NOT_DURABLE",
        f"ENQUEUED needs a stream that flushes before it acknowledges (sync_interval: always), but {why}.",
    )


def stream_unavailable(since: datetime | None) -> Unavailable:
    """Return the error of a stream that did not acknowledge everything: none, some or all was taken.

    `since` is when the outage began, None when it is not known to be one.
    """
    return Unavailable(
        "STREAM_UNAVAILABLE",
        "The stream did not acknowledge every message: none, some or all events were taken. Send the same call again.",
        retry_after_s=STREAM_RETRY_AFTER_S,
        **_since(since),
    )


def stream_unknown(why: str, since: datetime | None) -> Unavailable:
    """Return the error of ENQUEUED while nobody can tell whether the stream flushes before it acknowledges."""
    return Unavailable(
        "STREAM_UNAVAILABLE",
        f"The stream cannot be relied on now: {why}. None, some or all events were taken. Send the same call again.",
        retry_after_s=STREAM_RETRY_AFTER_S,
        **_since(since),
    )


def dead_letter_reason_unknown() -> InvalidArgument:
    """Return the error of a filter whose reason no dead letter can have."""
    return InvalidArgument(
        "DEAD_LETTER_REASON_UNKNOWN",
        f"A dead letter's reason is one of {', '.join(DEAD_LETTER_REASONS)}.",
        field="filter.reason",
    )


def commit_unknown() -> Unavailable:
    """Return the error of lanes that did not answer in time: the events are on the stream, stored or not yet."""
    return Unavailable(
        "COMMIT_UNKNOWN",
        "The events are on the stream, but were not committed in time. Send the same call again or ask GetEventStatus.",
        retry_after_s=STREAM_RETRY_AFTER_S,
    )


def _since(since: datetime | None) -> dict[str, str]:
    """Return when the outage began, for programs."""
    return {} if since is None else {UNAVAILABLE_SINCE: since.isoformat(timespec="seconds").replace("+00:00", "Z")}
