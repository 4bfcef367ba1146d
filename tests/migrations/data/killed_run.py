"""A run of invitation_addresses in a process of its own that is killed at a chunk; started by a test.

Arguments: URL of the owner, place (after_execute: the chunk's work is done and not committed; after_commit), which
chunk, rows of a chunk.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from apportion_migrate import data
from apportion_migrate.data import ChunkResult, DataProgress, Throttle
from apportion_migrate.sessions import migration_engine, psycopg_url
from sqlalchemy import Connection


def main(url: str, place: str, nth: int, chunk_rows: int) -> None:
    """Run, and die."""
    (migration,) = data.load_migrations("identity")
    migration.chunk_rows = chunk_rows
    passed = 0
    work = migration.chunk

    def chunk(connection: Connection, after_key: Any) -> ChunkResult:
        nonlocal passed
        result = work(connection, after_key)
        passed += 1
        if place == "after_execute" and passed == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def progress(event: DataProgress) -> None:
        if place == "after_commit" and event.kind == "chunk" and passed == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    migration.chunk = chunk  # type: ignore[method-assign]
    data.run(migration_engine(psycopg_url(url)), migration, throttle=Throttle(pause_ms=0), on_progress=progress)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
