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


def into_period_too_early(own: str) -> InvalidArgument:
    """Return the error of a requeue into a period before that of one of the events, `own`."""
    return InvalidArgument(
        "INTO_PERIOD_TOO_EARLY", f"An event of {own} is among them, and no period before its own bills it.", period=own
    )


def into_period_too_late(latest: str) -> InvalidArgument:
    """Return the error of a requeue into a period after the next."""
    return InvalidArgument(
        "INTO_PERIOD_TOO_LATE",
        f"Late usage is billed in {latest} at the latest: who waits longer waits for good.",
        period=latest,
    )


def reason_missing() -> InvalidArgument:
    """Return the error of a close that is forced without a reason."""
    return InvalidArgument("REASON_MISSING", "A close is forced for a reason, which is audited.")


def period_not_over(period: str) -> FailedPrecondition:
    """Return the error of closing a period that still has usage to come."""
    return FailedPrecondition(
        "PERIOD_NOT_OVER",
        f"The period {period} is not over by the database's clock: what is used until then would be refused."
        " Name another, or force it with a reason.",
    )


def usage_under_way(lanes: int) -> FailedPrecondition:
    """Return the error of closing a period while lanes have usage that was taken and is not posted."""
    return FailedPrecondition(
        "USAGE_UNDER_WAY",
        f"{lanes} lanes have usage that was taken before the call and is not posted yet. GetPipelineStatus tells when"
        " it is; or force the close with a reason.",
        lanes=str(lanes),
    )


def _since(since: datetime | None) -> dict[str, str]:
    """Return when the outage began, for programs."""
    return {} if since is None else {UNAVAILABLE_SINCE: since.isoformat(timespec="seconds").replace("+00:00", "Z")}
