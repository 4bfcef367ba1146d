"""How long a connection may take to be given back, and how many a role may hold."""

from __future__ import annotations

from typing import Final

COMMIT_TIMEOUT_S: Final = 15
"""Longest wait for a commit, above the longest statement; what takes longer is cancelled and its outcome unknown."""
RETURN_TIMEOUT_S: Final = 5
"""Longest wait for the rollback of a connection that is given back; a connection that takes longer is closed."""
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
