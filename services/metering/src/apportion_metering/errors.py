"""The refusals that metering gives beside the rejections of single events."""

from __future__ import annotations

from apportion_common.errors import FailedPrecondition, InvalidArgument, Unavailable

from apportion_metering.limits import CALL_EVENTS_MAX


def batch_empty() -> InvalidArgument:
    """A call without events."""
    return InvalidArgument("BATCH_EMPTY", "A call brings at least one event.")


def batch_too_large(count: int) -> InvalidArgument:
    """A call with more events than one call may bring."""
    return InvalidArgument(
        "BATCH_TOO_LARGE", f"A call brings at most {CALL_EVENTS_MAX} events, not {count}.", max=str(CALL_EVENTS_MAX)
    )


def stream_not_durable(why: str) -> FailedPrecondition:
    """ENQUEUED cannot be promised on this NATS server."""
    return FailedPrecondition(
        "STREAM_NOT_DURABLE",
        f"ENQUEUED needs a stream that flushes before it acknowledges (sync_interval: always), but {why}.",
    )


def stream_unavailable() -> Unavailable:
    """The stream did not acknowledge everything: none, some or all was taken."""
    return Unavailable(
        "STREAM_UNAVAILABLE",
        "The stream did not acknowledge every message: none, some or all events were taken. Send the same call again.",
        retry_after_s=1,
    )


def commit_unknown() -> Unavailable:
    """The lanes did not answer in time: the events are on the stream, stored or not yet."""
    return Unavailable(
        "COMMIT_UNKNOWN",
        "The events are on the stream, but were not committed in time. Send the same call again or ask GetEventStatus.",
        retry_after_s=1,
    )


def page_token_malformed() -> InvalidArgument:
    """A page token that this service did not give."""
    return InvalidArgument(
        "PAGE_TOKEN_MALFORMED", "The page token is not one that this service gave.", field="page_token"
    )


def source_unknown() -> InvalidArgument:
    """An event whose source the contract does not name; it is rejected alone."""
    return InvalidArgument("SOURCE_UNKNOWN", "The source is none that the contract names.", field="source")
