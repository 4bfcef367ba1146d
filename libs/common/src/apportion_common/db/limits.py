"""How long a connection may take to be given back, and how many a role may hold."""

from __future__ import annotations

from typing import Final

COMMIT_TIMEOUT_S: Final = 15
"""Longest wait for a commit, above the longest statement; what takes longer is cancelled and its outcome unknown."""
RETURN_TIMEOUT_S: Final = 5
"""Longest wait for the rollback of a connection that is given back; a connection that takes longer is closed."""
ANSWER_SLACK_S: Final = 2
"""Longest silence of the database above the longest statement, by which its own limit would have been heard of."""
TRIAL_TIMEOUT_S: Final = 5
"""Longest wait for a connection that is tried, or begins a transaction, before it is lent; then it is closed and the
next one taken. A server that is alive answers such a thing at once.
"""
KEEPALIVE_IDLE_S: Final = 10
"""Silence after which the system probes whether the database's machine is still there."""
KEEPALIVE_INTERVAL_S: Final = 5
"""Between two such probes."""
KEEPALIVE_COUNT_MAX: Final = 3
"""Probes without an answer after which the connection is lost."""
TCP_USER_TIMEOUT_MS: Final = 15_000
"""Time that what was sent may stay unacknowledged by the database's machine before the connection is lost."""
READ_IDLE_TIMEOUT_MS: Final = 60_000
"""A reading transaction may stand idle this long, which is no sign of a fault: it holds nobody up, and its process may
have been busy.
"""
CANCEL_TIMEOUT_S: Final = 5
"""Longest wait for the server to take a statement's cancellation, and then for the statement's end; after that the
connection is closed.
"""
PROCESSES_PER_SERVICE_MAX: Final = 2
"""Processes of one service that the connection limit of its role leaves room for: the one that runs and the one that
takes its place. A deployment with more of them sets a higher limit.
"""
ROLE_SPARE_CONNECTIONS_MAX: Final = 6
"""Connections of a role beyond the pools: sessions whose end the server has not noticed yet, and a person's own."""
OWNER_CONNECTIONS_MAX: Final = 16
"""Connections of the role that owns a service's tables: migrations, their watchers and a person's own."""


def role_connections_max(pool_size: int, processes: int = PROCESSES_PER_SERVICE_MAX) -> int:
    """Return the connection limit of a service's role: its pools, and ROLE_SPARE_CONNECTIONS_MAX."""
    return pool_size * processes + ROLE_SPARE_CONNECTIONS_MAX
