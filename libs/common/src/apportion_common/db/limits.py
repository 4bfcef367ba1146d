"""How long a connection may take to be given back, and how many a process and a role may hold.

A process has three pools, so that none of what it does can take the connections of the rest: calls from outside,
background work (lanes, relay, consumers and jobs), and the question whether the database takes writes. With the default
sizes that is 8 + 6 + 1 = 15 connections a process, 15 * 2 + 6 = 36 a service, and 36 * 5 = 180 for the five services.
"""

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
CALL_POOL_CONNECTIONS: Final = 8
"""Connections of a process for calls from outside, unless a setting says otherwise; a call that finds none free waits
POOL_WAIT_S and is then refused.
"""
WORK_POOL_CONNECTIONS: Final = 6
"""Connections of a process for background work, unless a setting says otherwise."""
READINESS_POOL_CONNECTIONS: Final = 1
"""Connections of a process for readiness, which says whether the database answers and not how busy the process is."""
POOL_CONNECTIONS_MAX: Final = 200
"""Connections of one pool that may be set."""
PROCESSES_PER_SERVICE_MAX: Final = 2
"""Processes of one service that the connection limit of its role leaves room for: the one that runs and the one that
takes its place. A deployment with more of them sets a higher limit.
"""
ROLE_SPARE_CONNECTIONS_MAX: Final = 6
"""Connections of a role beyond the pools: sessions whose end the server has not noticed yet, and a person's own."""
OWNER_CONNECTIONS_MAX: Final = 16
"""Connections of the role that owns a service's tables: migrations, their watchers and a person's own."""


def process_connections_max(
    call_connections: int = CALL_POOL_CONNECTIONS, work_connections: int = WORK_POOL_CONNECTIONS
) -> int:
    """Return how many connections the pools of a process hold at most."""
    return call_connections + work_connections + READINESS_POOL_CONNECTIONS


def role_connections_max(process_connections: int, processes: int = PROCESSES_PER_SERVICE_MAX) -> int:
    """Return the connection limit of a service's role: its processes' pools, and ROLE_SPARE_CONNECTIONS_MAX."""
    return process_connections * processes + ROLE_SPARE_CONNECTIONS_MAX
