"""What the lanes count. A label value per role, never per organisation."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

BATCHES = Counter("apportion_lane_batches_total", "Batches committed.", ["role"])
ENTRIES = Counter("apportion_lane_entries_total", "Entries committed.", ["role"])
DROPPED = Counter("apportion_lane_dropped_total", "Messages dropped because their batch was applied before.", ["role"])
FENCED = Counter("apportion_lane_fenced_total", "Writes rejected because the lane has another owner.", ["role"])
SILENT = Counter(
    "apportion_lane_silent_sessions_total",
    "Database sessions ended because their process was silent too long.",
    ["role"],
)
RETRIES = Counter("apportion_lane_retries_total", "Batches rolled back and retried.", ["role"])
QUARANTINED = Counter("apportion_lane_set_aside_total", "Messages that failed alone.", ["role"])
RECOVERED = Counter("apportion_lane_recovered_total", "Batches committed before and published at take-over.", ["role"])
FOUND = Counter(
    "apportion_lane_found_published_total",
    "Batches that a take-over found on the stream though the lane's row did not know of it; not sent again.",
    ["role"],
)
REJECTED = Counter(
    "apportion_lane_publish_refused_total", "Publishes rejected because the batch was on the stream.", ["role"]
)
REOPENED = Counter(
    "apportion_lane_reader_reopened_total", "Readers opened again at the last message that arrived.", ["role"]
)
STUCK = Counter(
    "apportion_lane_stuck_total", "Lanes whose work under way made no progress for several leases.", ["role"]
)
OWNED = Gauge("apportion_lane_owned", "Lanes held by this process.", ["role"])
STOPPED = Gauge("apportion_lane_stopped", "Lanes stopped until an operator has looked.", ["role"])
UNPUBLISHED = Gauge("apportion_lane_unpublished", "Committed batches waiting to be published.", ["role"])
