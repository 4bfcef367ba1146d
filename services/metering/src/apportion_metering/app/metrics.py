"""What metering counts; by batch, never by event, and without a label per organisation."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

TAKEN = Counter("apportion_metering_taken_total", "Events taken by IngestEvents.", ["acknowledgement"])
REJECTED = Counter("apportion_metering_rejected_total", "Events rejected for their form.", ["reason"])
EVENTS = Counter("apportion_metering_events_total", "What the writer made of events, by outcome.", ["outcome"])
DEAD_LETTERS = Counter("apportion_metering_dead_letters_total", "Dead letters made or opened again.", ["reason"])
LANE_LAG = Gauge(
    "apportion_metering_lane_lag_batches", "Accepted batches that a later step has not answered.", ["step"]
)
