"""The lanes' limits, each with its unit."""

from __future__ import annotations

COMMITS_AT_ONCE: int = 6
"""Transactions of one runner under way at once; more only queue for the same disk."""

TURN_PATIENCE_S: float = 0.1
"""How long a lane waits for the transaction under way before it begins another one beside it."""

LANES_TOGETHER: int = 8
"""Lanes that one transaction serves; more would make a failing one cost too many others their turn."""

ENTRIES_TOGETHER: int = 4_000
"""Entries of a transaction that serves several lanes."""

READ_MESSAGES: int = 256
"""Messages requested of the stream at a time and lane."""

READ_BYTES: int = 4 * 1024 * 1024
"""Bytes requested of the stream at a time and lane."""

READ_EXPIRES_S: float = 120.0
"""How long one request for messages stays open at the server."""

READ_HEARTBEAT_S: float = 15.0
"""How often the server shows that an open request is alive; a lost connection is seen before by the client itself."""

READ_SILENCE_S: float = 50.0
"""Silence after which a reader is opened again at the last message that arrived."""

READER_INACTIVE_S: float = 60.0
"""After which the server forgets a reader that nobody reads from."""

BUFFERED_MESSAGES: int = 512
"""Messages held for a lane before no more are requested."""

BUFFERED_BYTES: int = 4 * 1024 * 1024
"""Bytes held for a lane before no more are requested, unless its next batch is not complete yet."""

OUTPUT_PART_BYTES_MAX: int = 512 * 1024
"""Largest payload of one message of a lane; a batch that has more travels in several parts."""

BATCH_PARTS_MAX: int = 64
"""Most parts of one batch, so that a lane never holds more than 32 MiB for its next one."""

PUBLISH_TIMEOUT_S: float = 5.0
"""Wait for one publish acknowledgement before the stream is queried for what it holds."""

PUBLISH_BACKLOG: int = 64
"""Committed messages waiting to be published; a lane with more waits before it commits again."""

ACQUIRE_INTERVAL_S: float = 1.0
"""Between two looks for lanes that nobody holds (with jitter), while this worker has fewer or more than its share."""

LOOKS_PER_LEASE: int = 3
"""Looks within one lease while there is nothing to take and nothing to let go."""

RENEWALS_PER_LEASE: int = 3
"""Renewals within one lease."""

STUCK_LEASES_MAX: int = 3
"""Leases without progress after which a lane's work under way is given up and its lease renewed no more: whatever it
waits for, another session or another worker may fare better.
"""

STUCK_S_MIN: float = 10.0
"""The least time for that: with a short lease a batch on a busy machine takes longer than a few of them."""

STAND_BACK_LEASES_MAX: int = 32
"""Most leases for which a worker whose work was stuck leaves the free lanes to others."""

ROW_HELD_LEASES_MAX: int = 2
"""Leases for which a free lane may not be taken, because some session holds its row, before that is said."""

RETRY_FIRST_S: float = 0.2
"""Bound of the pause after a first failure; doubled up to RETRY_LAST_S."""

RETRY_LAST_S: float = 10.0
"""Longest pause between attempts; after an infrastructure failure they never end."""

DATA_ATTEMPTS: int = 3
"""Attempts at a message that fails for a reason of its own before it is bisected."""

BISECT_DEPTH_MAX: int = 16
"""Halvings of a failing batch, so batches of up to 65,536 entries: more than any role takes in one transaction."""

OUTBOX_RETENTION_H: int = 24
"""How long published batches stay in the lane outbox, to be fetched when a stream was lost."""

WORKER_STALE_LEASES: int = 2
"""Leases without a sign of life after which a worker no longer counts for the fair share."""
