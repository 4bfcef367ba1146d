"""Every limit of the metering service, with its unit in its name."""

from __future__ import annotations

from typing import Final

CALL_EVENTS_MAX: Final = 5_000
"""Events of one IngestEvents call, readable and compact together (spec 04, "Intake")."""
SKU_CHARS_MAX: Final = 64
REQUEST_ID_CHARS_MAX: Final = 128
KNOWN_TEXTS_MAX: Final = 10_000
"""Ids, and SKUs, that are kept in memory as checked."""
METADATA_BYTES_MAX: Final = 1_024
"""Keys and values of one event together, in UTF-8."""
METADATA_PAIRS_MAX: Final = 50
TIME_TEXT_CHARS_MAX: Final = 40
"""Longest text of a time that is looked at."""
EVENT_TIME_YEAR_MIN: Final = 2000
"""First year of usage, UTC; terms reach further back (`apportion_common.periods`)."""
EVENT_TIME_YEAR_MAX: Final = 2100
"""Last year of usage, UTC."""
EVENT_LEAD_US_MAX: Final = 5 * 60 * 1_000_000
"""How far event_time may lie ahead of received_at before the event is EVENT_IN_FUTURE, in microseconds."""

MESSAGE_ENTRIES_MAX: Final = 1_000
"""Entries of one message on a lane, and of one accepted batch."""
MESSAGE_BYTES_MAX: Final = 512 * 1024
"""A message on a lane with its headers; half of what NATS takes, so that no batch ever closes the connection."""
MESSAGE_OVERHEAD_BYTES: Final = 1_024
"""Kept free in every message for its envelope: caller, reply subject, trace and headers."""
ENTRY_OVERHEAD_BYTES: Final = 144
"""Most bytes an intake entry has beside its request id, SKU, quantity and labels."""
LABEL_OVERHEAD_BYTES: Final = 12
"""Most bytes a label has on the wire beside its key and value."""
REJECTION_MESSAGE_CHARS_MAX: Final = 500

PUBLISH_TIMEOUT_S: Final = 5
"""How long intake waits for the stream's acknowledgement of a message."""
COMMIT_WAIT_S: Final = 10
"""How long COMMITTED waits for the lane where the caller set no deadline."""
COMMIT_MARGIN_MS: Final = 250
"""Kept back from the caller's deadline, so that COMMIT_UNKNOWN still reaches the caller."""

CLOSE_WAIT_S: Final = 10
"""How long ClosePeriod waits for usage that was taken before it and is not posted yet."""
CLOSE_POLL_MS: Final = 100
"""How often it looks meanwhile."""

DURABILITY_FRESH_S: Final = 60
"""How long a look at the NATS server's settings counts."""
DURABILITY_CHECK_S: Final = 20
"""How often the settings are looked at in the background."""
STREAM_RECHECK_S: Final = 1
"""How often they, and the stream, are looked at while either cannot be reached or read."""
STREAM_RETRY_AFTER_S: Final = 1
"""When callers are told to send again what the stream did not take: NATS is tried every second meanwhile."""
STREAM_PROBE_TIMEOUT_S: Final = 3
"""How long a look waits for the stream itself."""
MONITOR_TIMEOUT_S: Final = 3
"""For one server's whole answer, however it comes in."""
MONITOR_BYTES_MAX: Final = 4 * 1024 * 1024
STREAM_TAIL_TIMEOUT_S: Final = 5
"""How long GetPipelineStatus waits for the last messages of the lanes."""
STREAM_TAIL_INACTIVE_S: Final = 10
"""After which the server forgets the reader of the lanes' last messages, should its deletion be lost."""

RECEIPT_BATCH_MESSAGES_MAX: Final = 200
"""Receipts applied in one transaction."""
PACKED_VALUES_MAX: Final = 10_000
"""Packed SKUs, and packed quantities, kept between batches; when there are more, the cache is emptied."""

DEAD_LETTER_PAGE_DEFAULT: Final = 100
DEAD_LETTER_PAGE_MAX: Final = 1_000
DEAD_LETTER_DETAIL_CHARS_MAX: Final = 500
DEAD_LETTER_PAYLOAD_BYTES_MAX: Final = 1024 * 1024
REQUEUE_DEAD_LETTERS_MAX: Final = 10_000
"""Dead letters that one RequeueDeadLetters or DiscardDeadLetters takes; the rest stays open for the next call."""
AUDITED_IDS_MAX: Final = 1_000
"""Dead letters named one by one in an audit row; above that the row has their number and the filter."""

PARTITION_MONTHS_AHEAD: Final = 3
"""Months for which partitions of metering_event are kept ready beyond the current one."""
PARTITION_CHECK_S: Final = 6 * 3600
