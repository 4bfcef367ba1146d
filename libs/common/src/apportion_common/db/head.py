"""The revision of a service's configuration: one row that every configuration write locks.

Numbers given under the row's lock become visible in their order and without gaps, so "everything up to revision n"
means the same in a first run and in a replay. A sequence could not promise that.
"""

from __future__ import annotations

from psycopg import sql
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion_common.db.unit_of_work import Transaction

# An advisory lock queues fairly. On the row itself, readers that keep overlapping would let a writer wait for ever:
# PostgreSQL lets a further FOR SHARE pass a FOR UPDATE that waits.
_KEY = "hashtextextended(current_schema() || '.config_head', 0)"
_HOLD_OFF_READERS = text(f"SELECT pg_advisory_xact_lock({_KEY})")
_LOCK = text("SELECT revision FROM config_head FOR UPDATE")
_BUMP = text("UPDATE config_head SET revision = :revision")
_READ = text("SELECT revision FROM config_head")
# The second statement has a snapshot of its own: that of the one that waits is from before.
_HOLD_AND_READ = sql.SQL("SELECT pg_advisory_xact_lock_shared({}); SELECT revision FROM config_head").format(
    sql.SQL(_KEY)
)


async def next_revision(tx: Transaction) -> int:
    """Take the configuration's lock until the transaction ends and return the revision that its rows carry."""
    await tx.execute(_HOLD_OFF_READERS)
    current: int = (await tx.execute(_LOCK)).scalar_one()
    revision = current + 1
    await tx.execute(_BUMP, {"revision": revision})
    return revision


def take_revision(connection: Connection) -> int:
    """Take the next revision in a program without an event loop, such as seeds and data migrations."""
    connection.execute(_HOLD_OFF_READERS)
    revision: int = connection.execute(_LOCK).scalar_one() + 1
    connection.execute(_BUMP, {"revision": revision})
    return revision


async def current_revision(connection: AsyncConnection) -> int:
    """Return the newest committed revision."""
    revision: int = (await connection.execute(_READ)).scalar_one()
    return revision


async def held_revision(tx: Transaction) -> int:
    """Return the newest committed revision, which stays the newest until the transaction ends.

    Every batch of the lanes asks, so it is one round trip, straight through the driver.
    """
    cursor = await (await tx.raw()).execute(_HOLD_AND_READ, prepare=False)
    cursor.nextset()
    row = await cursor.fetchone()
    assert row is not None
    revision: int = row[0]
    return revision
