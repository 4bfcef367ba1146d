"""The metrics of relays and consumers."""

from __future__ import annotations

from typing import Final

from apportion_common.metrics import counter, gauge

PUBLISHED: Final = counter("apportion_outbox_published", "Outbox messages acknowledged by a stream.", ["service"])
PUBLISHED_AGAIN: Final = counter(
    "apportion_outbox_published_again",
    "Outbox messages that the stream had already and dropped: their relay ended before it had marked them.",
    ["service"],
)
PUBLISH_FAILED: Final = counter("apportion_outbox_publish_failed", "Outbox messages not acknowledged.", ["service"])
OUTBOX_PARKED: Final = gauge(
    "apportion_outbox_parked", "Outbox messages left aside because they are larger than the stream takes.", ["service"]
)
OUTBOX_AGE_S: Final = gauge(
    "apportion_outbox_oldest_age_seconds", "Age of the oldest unpublished outbox message.", ["service"]
)
HANDLED: Final = counter("apportion_consumer_handled", "Messages whose effect was committed.", ["consumer"])
REDELIVERED: Final = counter("apportion_consumer_redelivered", "Deliveries that were not the first.", ["consumer"])
DEDUPLICATED: Final = counter(
    "apportion_consumer_deduplicated", "Messages whose effect had been committed before.", ["consumer"]
)
DEAD_LETTERED: Final = counter("apportion_consumer_dead_lettered", "Messages given up as dead letters.", ["consumer"])
RETRIED: Final = counter("apportion_consumer_retried", "Messages put back after an error.", ["consumer", "fault"])
STREAM_MISSING: Final = gauge("apportion_stream_missing", "1 while a stream that is needed is not there.", ["stream"])
PENDING: Final = gauge("apportion_consumer_pending", "Messages that wait for the consumer.", ["consumer"])
