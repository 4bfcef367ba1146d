"""Limits of every server and client, with their units."""

from __future__ import annotations

from typing import Final

MAX_RECEIVE_BYTES: Final = 8 * 1024 * 1024
MAX_SEND_BYTES: Final = 16 * 1024 * 1024
MAX_METADATA_BYTES: Final = 32 * 1024
MAX_CONCURRENT_RPCS: Final = 512
"""Calls in progress a process; the next one is refused by grpc with RESOURCE_EXHAUSTED."""

KEEPALIVE_TIME_MS: Final = 60_000
KEEPALIVE_TIMEOUT_MS: Final = 20_000
MIN_PING_INTERVAL_MS: Final = 20_000
MAX_CONNECTION_AGE_MS: Final = 10 * 60_000
"""A connection ends after this, so that clients find new replicas."""
MAX_CONNECTION_AGE_GRACE_MS: Final = 5 * 60_000

DEFAULT_DEADLINE_S: Final = 30
"""For a unary answer, when the client sets none."""
MAX_DEADLINE_S: Final = 300
"""Whatever the client asks for, and for streamed answers when it asks for nothing."""

MAX_TOKEN_CHARS: Final = 8_192
TOKEN_LEEWAY_S: Final = 5
MAX_CACHED_TOKENS: Final = 4_096
MAX_KID_CHARS: Final = 100
MAX_JWKS_KEYS: Final = 1_000
MAX_SUBJECT_CHARS: Final = 200
MAX_ROLES: Final = 32

KEY_POLL_S: Final = 30
"""Between two looks at the keys that identity publishes; a new one is published three times as long before it signs."""
KEY_RETRY_FIRST_S: Final = 2
KEY_RETRY_MAX_S: Final = 8
"""Longest wait after a look that failed."""
KEY_FETCH_TIMEOUT_S: Final = 5
KEY_ASK_PAUSE_S: Final = 1
"""Between two requests that tokens with unknown key ids cause, however many such tokens come."""
KEY_WAIT_S: Final = 1
"""What one call waits for the outcome of such a request."""
KEY_WAITERS_MAX: Final = 64
"""Calls that wait for such an outcome at once; the next one is answered with what is known."""

FAILED_TOKENS_PER_PEER: Final = 60
FAILED_TOKENS_REFILL_PER_S: Final = 1
"""Tokens that are no good, per address: a burst, and one a second from then on. Good ones are never counted."""
FAILED_TOKENS_PEERS_MAX: Final = 10_000
"""Addresses that are counted at once."""

MAX_VIOLATIONS: Final = 50
MAX_STATUS_BYTES: Final = 4_096
"""Of the serialised status; clients refuse more than 8 KiB of metadata."""
MAX_MESSAGE_CHARS: Final = 600
MAX_METADATA_VALUE_CHARS: Final = 200
MAX_REQUEST_ID_CHARS: Final = 128
UNAVAILABLE_RETRY_S: Final = 1
"""What a caller is told to wait when nothing better is known."""
