"""Limits of every server and client, with their units."""

from __future__ import annotations

from typing import Final

RECEIVE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Longest message that a server or client reads."""
SEND_BYTES_MAX: Final = 16 * 1024 * 1024
"""Longest message that one writes."""
METADATA_BYTES_MAX: Final = 32 * 1024
"""Headers of a call."""
CONCURRENT_RPCS_MAX: Final = 512
"""Calls in progress a process; the next one is refused by grpc with RESOURCE_EXHAUSTED."""

KEEPALIVE_TIME_MS: Final = 60_000
KEEPALIVE_TIMEOUT_MS: Final = 20_000
PING_INTERVAL_MS_MIN: Final = 20_000
CONNECTION_AGE_MS_MAX: Final = 10 * 60_000
"""A connection ends after this, so that clients find new replicas."""
CONNECTION_AGE_GRACE_MS_MAX: Final = 5 * 60_000

DEFAULT_DEADLINE_S: Final = 30
"""For a unary answer, when the client sets none."""
DEADLINE_S_MAX: Final = 300
"""Whatever the client asks for, and for streamed answers when it asks for nothing."""

TOKEN_CHARS_MAX: Final = 8_192
TOKEN_LEEWAY_S: Final = 5
CACHED_TOKENS_MAX: Final = 4_096
KID_CHARS_MAX: Final = 100
JWKS_KEYS_MAX: Final = 1_000
SUBJECT_CHARS_MAX: Final = 200
ROLES_MAX: Final = 32

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

VIOLATIONS_MAX: Final = 50
STATUS_BYTES_MAX: Final = 4_096
"""Of the serialised status; clients refuse more than 8 KiB of metadata."""
MESSAGE_CHARS_MAX: Final = 600
METADATA_VALUE_CHARS_MAX: Final = 200
REQUEST_ID_CHARS_MAX: Final = 128
UNAVAILABLE_RETRY_S: Final = 1
"""What a caller is told to wait when nothing better is known."""
