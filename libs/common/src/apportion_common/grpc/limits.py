"""Limits of every server and client, with their units."""

from __future__ import annotations

from typing import Final

RECEIVE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Longest message that a server or client reads."""
SEND_BYTES_MAX: Final = 16 * 1024 * 1024
"""Longest message that one writes."""
METADATA_BYTES_MAX: Final = 32 * 1024
"""Headers of a call."""

OPERATOR_CALLS_MAX: Final = 128
"""Calls of operators in progress a process; places that nobody else can take."""
SERVICE_CALLS_MAX: Final = 256
"""Calls of the other services in progress a process; places of their own as well."""
CALLER_CALLS_MAX: Final = 320
"""Calls of everybody else with a token in progress a process."""
SUBJECT_CALLS_MAX: Final = 96
"""Of the places of the services or of everybody else, what one subject may take at once."""
OPERATOR_SUBJECT_CALLS_MAX: Final = 64
"""Of the operators' places, what one of them may take at once."""
STRANGER_CALLS_MAX: Final = 256
"""Calls without a token in progress a process, of the RPCs that ask for none."""
STRANGER_PEER_CALLS_MAX: Final = 64
"""Of these, what one address may have at once."""
CONNECTION_HEALTH_CALLS_MAX: Final = 8
"""Health checks, watches of health and reflections in progress a connection. A process has no limit of its own for
them, so nobody can take them away from others; the number of connections has one.
"""
CALLS_RETRY_S: Final = 1
"""What a caller is told to wait when no place is free."""
REQUEST_TIMEOUT_S: Final = 20
"""From the headers of a call to the end of its one request; calls of streamed requests have their deadline only."""
STRANGER_REQUEST_TIMEOUT_S: Final = 5
"""The same for calls without a token, health checks among them."""
PENDING_CALLS_MAX: Final = 10_000
"""Calls whose headers are here and that the event loop has not come to; grpc cancels more, at random, up to twice as
many. Far above what a hundred connections may begin at once: whom it cancels may be anybody.
"""

CONNECTION_STREAMS_MAX: Final = 100
"""Calls in progress a connection; grpc's clients queue what is more, and other clients' further streams are reset."""
CONNECTIONS_MAX: Final = 2_048
"""Connections of a process, some 45 KiB each; what comes beyond is closed before the handshake."""
CONNECTION_FILES_RESERVED: Final = 128
"""File descriptors of a process that are not for connections of callers: where the system allows a process less than
these and CONNECTIONS_MAX, it takes fewer connections.
"""
PEER_CONNECTIONS_MAX: Final = 256
"""Connections of one address. Those that never carried a call with a good token are closed first, and one that carries
such a call just now never is.
"""
CONNECTIONS_FULL_PERCENT: Final = 75
"""Of CONNECTIONS_MAX: above it, connections that never carried a call with a good token are closed, oldest first, of
the address that has most.
"""
CONNECTIONS_LOOK_S: Final = 0.25
"""Between two looks at the connections, in which one address may have more than its share."""
HANDSHAKE_TIMEOUT_MS: Final = 5_000
"""For TLS and the first settings of HTTP/2, from the connection on."""
CONNECTION_IDLE_MS_MAX: Final = 5 * 60_000
"""A connection without calls ends after this."""

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
